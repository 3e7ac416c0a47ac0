-- A ledger as the release with layout 1 left it: made by its code, then dumped. Never to be changed.
CREATE TABLE public.lastmile_approvals (
    request_id text NOT NULL,
    key character varying(64) NOT NULL,
    answers text NOT NULL,
    consumed_at timestamp with time zone NOT NULL
);
CREATE TABLE public.lastmile_blobs (
    digest character varying(64) NOT NULL,
    task_id text NOT NULL,
    body bytea NOT NULL,
    kept_at timestamp with time zone NOT NULL
);
CREATE TABLE public.lastmile_effects (
    seq bigint NOT NULL,
    key character varying(64) NOT NULL,
    task_id text NOT NULL,
    step text NOT NULL,
    intent integer NOT NULL,
    revision integer NOT NULL,
    agent text NOT NULL,
    tool text NOT NULL,
    effect character varying(16) NOT NULL,
    contract_digest character varying(64) NOT NULL,
    fingerprint character varying(64) NOT NULL,
    similarity character varying(64) NOT NULL,
    args text NOT NULL,
    origin text NOT NULL,
    repeat_of text,
    undoes character varying(64),
    run_id text NOT NULL,
    state character varying(16) NOT NULL,
    fence integer NOT NULL,
    lease_until timestamp with time zone NOT NULL,
    sends integer NOT NULL,
    doubtful boolean NOT NULL,
    marked_at timestamp with time zone,
    first_marked_at timestamp with time zone,
    send_deadline timestamp with time zone,
    code text NOT NULL,
    message text NOT NULL,
    result text,
    blob character varying(64),
    size bigint NOT NULL,
    verified boolean,
    evidence character varying(16),
    approved_by text NOT NULL,
    written_off boolean NOT NULL,
    opened_at timestamp with time zone NOT NULL,
    settled_at timestamp with time zone
);
CREATE SEQUENCE public.lastmile_effects_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.lastmile_effects_seq_seq OWNED BY public.lastmile_effects.seq;
CREATE TABLE public.lastmile_lines (
    seq bigint NOT NULL,
    task_id text NOT NULL,
    at timestamp with time zone NOT NULL,
    event text NOT NULL,
    step text NOT NULL,
    tool text NOT NULL,
    key character varying(64) NOT NULL,
    attempt integer NOT NULL,
    fields text NOT NULL
);
CREATE SEQUENCE public.lastmile_lines_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.lastmile_lines_seq_seq OWNED BY public.lastmile_lines.seq;
CREATE TABLE public.lastmile_schema (
    id integer NOT NULL,
    version integer NOT NULL
);
CREATE TABLE public.lastmile_tasks (
    task_id text NOT NULL,
    namespace text NOT NULL,
    agent text NOT NULL,
    goal text NOT NULL,
    inputs text NOT NULL,
    requested_by text NOT NULL,
    amendments integer NOT NULL,
    first_run_id text NOT NULL,
    again boolean NOT NULL,
    opened_at timestamp with time zone NOT NULL
);
CREATE TABLE public.lastmile_totals (
    bucket text NOT NULL,
    key character varying(64) NOT NULL,
    amount bigint NOT NULL
);
ALTER TABLE ONLY public.lastmile_effects ALTER COLUMN seq SET DEFAULT nextval('public.lastmile_effects_seq_seq'::regclass);
ALTER TABLE ONLY public.lastmile_lines ALTER COLUMN seq SET DEFAULT nextval('public.lastmile_lines_seq_seq'::regclass);
INSERT INTO public.lastmile_effects VALUES (1, 'k1', 'refund-1', 'r1.k1', 1, 0, 'support_desk', 'issue_refund', 'keyed', 'c0ffee', 'print of k1', 'like k1', '{"order_id":"1042","amount_cents":1999,"note":"l''\u00e9t\u00e9 \u0000 \u2028"}', '{"/order_id":"request"}', NULL, NULL, 'run-1', 'RESERVED', 1, '2026-03-01 12:00:10.00025+00', 0, false, NULL, NULL, NULL, '', '', NULL, NULL, 0, NULL, NULL, '[]', false, '2026-03-01 12:00:00.00025+00', NULL);
INSERT INTO public.lastmile_effects VALUES (2, 'k2', 'refund-2', 'r1.k2', 1, 0, 'support_desk', 'issue_refund', 'keyed', 'c0ffee', 'print of k2', 'like k2', '{"order_id":"1042","amount_cents":1999,"note":"l''\u00e9t\u00e9 \u0000 \u2028"}', '{"/order_id":"request"}', NULL, NULL, 'run-2a', 'SUCCEEDED', 1, '2026-03-01 12:00:00.00025+00', 1, false, '2026-03-01 12:00:00.00025+00', '2026-03-01 12:00:00.00025+00', '2026-03-01 12:00:10.00025+00', '', '', '{"id":"re_1"}', NULL, 13, NULL, 'answer', '[]', false, '2026-03-01 12:00:00.00025+00', '2026-03-01 12:00:00.00025+00');
INSERT INTO public.lastmile_effects VALUES (3, 'k3', 'refund-2', 'r1.k3', 1, 0, 'support_desk', 'issue_refund', 'keyed', 'c0ffee', 'print of k3', 'like k3', '{"order_id":"1042","amount_cents":1999,"note":"l''\u00e9t\u00e9 \u0000 \u2028"}', '{"/order_id":"request"}', NULL, NULL, 'run-2b', 'IN_DOUBT', 1, '2026-03-01 12:00:00.00025+00', 1, true, '2026-03-01 12:00:00.00025+00', '2026-03-01 12:00:00.00025+00', '2026-03-01 12:00:10.00025+00', '', 'timed out', NULL, NULL, 0, NULL, NULL, '[]', false, '2026-03-01 12:00:00.00025+00', NULL);
INSERT INTO public.lastmile_effects VALUES (4, 'k4', 'refund-3', 'r1.k4', 1, 0, 'support_desk', 'issue_refund', 'keyed', 'c0ffee', 'print of k4', 'like k4', '{"order_id":"1042","amount_cents":1999,"note":"l''\u00e9t\u00e9 \u0000 \u2028"}', '{"/order_id":"request"}', NULL, NULL, 'run-3a', 'NEEDS_PERSON', 1, '2026-03-01 12:00:00.00025+00', 1, true, '2026-03-01 12:00:00.00025+00', '2026-03-01 12:00:00.00025+00', '2026-03-01 12:00:10.00025+00', '', 'no way to find out', NULL, NULL, 0, NULL, NULL, '[]', false, '2026-03-01 12:00:00.00025+00', NULL);
INSERT INTO public.lastmile_lines VALUES (1, 'refund-1', '2026-03-01 12:01:00.00025+00', 'tool.settled', '', '', '', 0, '{"number":1}');
INSERT INTO public.lastmile_schema VALUES (1, 1);
INSERT INTO public.lastmile_tasks VALUES ('refund-1', 'default', 'support_desk', 'refund order 1042', '{"order_id":"1042"}', '', 0, 'run-1', false, '2026-03-01 12:00:00.00025+00');
INSERT INTO public.lastmile_tasks VALUES ('refund-2', 'default', 'support_desk', 'refund order 1042', '{"order_id":"1042"}', '', 0, 'run-2a', false, '2026-03-01 12:00:00.00025+00');
INSERT INTO public.lastmile_tasks VALUES ('refund-3', 'default', 'support_desk', 'refund order 1042', '{"order_id":"1042"}', '', 0, 'run-3c', true, '2026-03-01 12:01:00.00025+00');
SELECT pg_catalog.setval('public.lastmile_effects_seq_seq', 4, true);
SELECT pg_catalog.setval('public.lastmile_lines_seq_seq', 1, true);
ALTER TABLE ONLY public.lastmile_approvals
    ADD CONSTRAINT lastmile_approvals_pkey PRIMARY KEY (request_id);
ALTER TABLE ONLY public.lastmile_blobs
    ADD CONSTRAINT lastmile_blobs_pkey PRIMARY KEY (digest);
ALTER TABLE ONLY public.lastmile_effects
    ADD CONSTRAINT lastmile_effects_key_key UNIQUE (key);
ALTER TABLE ONLY public.lastmile_effects
    ADD CONSTRAINT lastmile_effects_pkey PRIMARY KEY (seq);
ALTER TABLE ONLY public.lastmile_lines
    ADD CONSTRAINT lastmile_lines_pkey PRIMARY KEY (seq);
ALTER TABLE ONLY public.lastmile_schema
    ADD CONSTRAINT lastmile_schema_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.lastmile_tasks
    ADD CONSTRAINT lastmile_tasks_pkey PRIMARY KEY (task_id);
ALTER TABLE ONLY public.lastmile_totals
    ADD CONSTRAINT lastmile_totals_pkey PRIMARY KEY (bucket, key);
CREATE INDEX ix_lastmile_totals_key ON public.lastmile_totals USING btree (key);
CREATE INDEX lastmile_effects_in_flight ON public.lastmile_effects USING btree (lease_until) WHERE ((state)::text = 'IN_FLIGHT'::text);
CREATE INDEX lastmile_effects_similar ON public.lastmile_effects USING btree (task_id, similarity);
CREATE INDEX lastmile_effects_undoes ON public.lastmile_effects USING btree (undoes) WHERE (undoes IS NOT NULL);
CREATE INDEX lastmile_lines_of_task ON public.lastmile_lines USING btree (task_id, seq);
