-- A ledger as the release with layout 1 left it: made by its code, then dumped. Never to be changed.
BEGIN TRANSACTION;
CREATE TABLE lastmile_approvals (
	request_id TEXT NOT NULL,
	"key" VARCHAR(64) NOT NULL,
	answers TEXT NOT NULL,
	consumed_at VARCHAR(32) NOT NULL,
	PRIMARY KEY (request_id)
);
CREATE TABLE lastmile_blobs (
	digest VARCHAR(64) NOT NULL,
	task_id TEXT NOT NULL,
	body BLOB NOT NULL,
	kept_at VARCHAR(32) NOT NULL,
	PRIMARY KEY (digest)
);
CREATE TABLE lastmile_effects (
	seq INTEGER NOT NULL,
	"key" VARCHAR(64) NOT NULL,
	task_id TEXT NOT NULL,
	step TEXT NOT NULL,
	intent INTEGER NOT NULL,
	revision INTEGER NOT NULL,
	agent TEXT NOT NULL,
	tool TEXT NOT NULL,
	effect VARCHAR(16) NOT NULL,
	contract_digest VARCHAR(64) NOT NULL,
	fingerprint VARCHAR(64) NOT NULL,
	similarity VARCHAR(64) NOT NULL,
	args TEXT NOT NULL,
	origin TEXT NOT NULL,
	repeat_of TEXT,
	undoes VARCHAR(64),
	run_id TEXT NOT NULL,
	state VARCHAR(16) NOT NULL,
	fence INTEGER NOT NULL,
	lease_until VARCHAR(32) NOT NULL,
	sends INTEGER NOT NULL,
	doubtful BOOLEAN NOT NULL,
	marked_at VARCHAR(32),
	first_marked_at VARCHAR(32),
	send_deadline VARCHAR(32),
	code TEXT NOT NULL,
	message TEXT NOT NULL,
	result TEXT,
	blob VARCHAR(64),
	size BIGINT NOT NULL,
	verified BOOLEAN,
	evidence VARCHAR(16),
	approved_by TEXT NOT NULL,
	written_off BOOLEAN NOT NULL,
	opened_at VARCHAR(32) NOT NULL,
	settled_at VARCHAR(32),
	PRIMARY KEY (seq),
	UNIQUE ("key")
);
INSERT INTO "lastmile_effects" VALUES(1,'k1','refund-1','r1.k1',1,0,'support_desk','issue_refund','keyed','c0ffee','print of k1','like k1','{"order_id":"1042","amount_cents":1999,"note":"l''\u00e9t\u00e9 \u0000 \u2028"}','{"/order_id":"request"}',NULL,NULL,'run-1','RESERVED',1,'2026-03-01T12:00:10.000250+00:00',0,0,NULL,NULL,NULL,'','',NULL,NULL,0,NULL,NULL,'[]',0,'2026-03-01T12:00:00.000250+00:00',NULL);
INSERT INTO "lastmile_effects" VALUES(2,'k2','refund-2','r1.k2',1,0,'support_desk','issue_refund','keyed','c0ffee','print of k2','like k2','{"order_id":"1042","amount_cents":1999,"note":"l''\u00e9t\u00e9 \u0000 \u2028"}','{"/order_id":"request"}',NULL,NULL,'run-2a','SUCCEEDED',1,'2026-03-01T12:00:00.000250+00:00',1,0,'2026-03-01T12:00:00.000250+00:00','2026-03-01T12:00:00.000250+00:00','2026-03-01T12:00:10.000250+00:00','','','{"id":"re_1"}',NULL,13,NULL,'answer','[]',0,'2026-03-01T12:00:00.000250+00:00','2026-03-01T12:00:00.000250+00:00');
INSERT INTO "lastmile_effects" VALUES(3,'k3','refund-2','r1.k3',1,0,'support_desk','issue_refund','keyed','c0ffee','print of k3','like k3','{"order_id":"1042","amount_cents":1999,"note":"l''\u00e9t\u00e9 \u0000 \u2028"}','{"/order_id":"request"}',NULL,NULL,'run-2b','IN_DOUBT',1,'2026-03-01T12:00:00.000250+00:00',1,1,'2026-03-01T12:00:00.000250+00:00','2026-03-01T12:00:00.000250+00:00','2026-03-01T12:00:10.000250+00:00','','timed out',NULL,NULL,0,NULL,NULL,'[]',0,'2026-03-01T12:00:00.000250+00:00',NULL);
INSERT INTO "lastmile_effects" VALUES(4,'k4','refund-3','r1.k4',1,0,'support_desk','issue_refund','keyed','c0ffee','print of k4','like k4','{"order_id":"1042","amount_cents":1999,"note":"l''\u00e9t\u00e9 \u0000 \u2028"}','{"/order_id":"request"}',NULL,NULL,'run-3a','NEEDS_PERSON',1,'2026-03-01T12:00:00.000250+00:00',1,1,'2026-03-01T12:00:00.000250+00:00','2026-03-01T12:00:00.000250+00:00','2026-03-01T12:00:10.000250+00:00','','no way to find out',NULL,NULL,0,NULL,NULL,'[]',0,'2026-03-01T12:00:00.000250+00:00',NULL);
CREATE TABLE lastmile_lines (
	seq INTEGER NOT NULL,
	task_id TEXT NOT NULL,
	at VARCHAR(32) NOT NULL,
	event TEXT NOT NULL,
	step TEXT NOT NULL,
	tool TEXT NOT NULL,
	"key" VARCHAR(64) NOT NULL,
	attempt INTEGER NOT NULL,
	fields TEXT NOT NULL,
	PRIMARY KEY (seq)
);
INSERT INTO "lastmile_lines" VALUES(1,'refund-1','2026-03-01T12:01:00.000250+00:00','tool.settled','','','',0,'{"number":1}');
CREATE TABLE lastmile_schema (
	id INTEGER NOT NULL,
	version INTEGER NOT NULL,
	PRIMARY KEY (id)
);
INSERT INTO "lastmile_schema" VALUES(1,1);
CREATE TABLE lastmile_tasks (
	task_id TEXT NOT NULL,
	namespace TEXT NOT NULL,
	agent TEXT NOT NULL,
	goal TEXT NOT NULL,
	inputs TEXT NOT NULL,
	requested_by TEXT NOT NULL,
	amendments INTEGER NOT NULL,
	first_run_id TEXT NOT NULL,
	again BOOLEAN NOT NULL,
	opened_at VARCHAR(32) NOT NULL,
	PRIMARY KEY (task_id)
);
INSERT INTO "lastmile_tasks" VALUES('refund-1','default','support_desk','refund order 1042','{"order_id":"1042"}','',0,'run-1',0,'2026-03-01T12:00:00.000250+00:00');
INSERT INTO "lastmile_tasks" VALUES('refund-2','default','support_desk','refund order 1042','{"order_id":"1042"}','',0,'run-2a',0,'2026-03-01T12:00:00.000250+00:00');
INSERT INTO "lastmile_tasks" VALUES('refund-3','default','support_desk','refund order 1042','{"order_id":"1042"}','',0,'run-3c',1,'2026-03-01T12:01:00.000250+00:00');
CREATE TABLE lastmile_totals (
	bucket TEXT NOT NULL,
	"key" VARCHAR(64) NOT NULL,
	amount BIGINT NOT NULL,
	PRIMARY KEY (bucket, "key")
);
CREATE INDEX lastmile_effects_undoes ON lastmile_effects (undoes) WHERE undoes IS NOT NULL;
CREATE INDEX lastmile_effects_similar ON lastmile_effects (task_id, similarity);
CREATE INDEX lastmile_effects_in_flight ON lastmile_effects (lease_until) WHERE state = 'IN_FLIGHT';
CREATE INDEX ix_lastmile_totals_key ON lastmile_totals ("key");
CREATE INDEX lastmile_lines_of_task ON lastmile_lines (task_id, seq);
COMMIT;
