"""What a model call is reserved as, which budgets hold it, what it is settled at. The ledger does the sums."""

from temporalio import activity

from core.budget import cost_micro_usd, reserved_micro_usd
from core.errors import CallerError, ConfigError, PlannerBusy, PlannerError
from core.messages import PlanOrder
from core.ports import Agent, Reply
from core.profile import Model
from core.spending import MICRO, CallEnd, CallState, Cap, ModelCall, Scope, cap_of

_SCRIPTED = "scripted:"


def call_of(order: PlanOrder, agent: Agent) -> ModelCall:
    """Make what is reserved for this attempt: the most that it may take."""
    info, briefing, model = activity.info(), order.briefing, model_of(order)
    return ModelCall(
        id=f"{briefing.task_id}/{info.workflow_run_id}/{briefing.call}/{info.attempt}",
        task_id=briefing.task_id,
        chain=order.chain,
        agent=briefing.agent,
        tenant=agent.tenants.tenant(briefing.inputs),
        model=order.model,
        provider=model.provider,
        purpose=order.purpose,
        call=briefing.call,
        attempt=info.attempt,
        tokens=order.input_tokens + order.max_output_tokens,
        micro_usd=reserved_micro_usd(model, order.input_tokens, order.max_output_tokens),
    )


def model_of(order: PlanOrder) -> Model:
    """Return the model with its prices; an order of an earlier release has none."""
    return order.offer or Model(name=order.model)


def caps_of(order: PlanOrder, agent: Agent, tenant: str) -> list[Cap]:
    """Return every budget that the call has to fit, narrowest first."""
    allowed = None if order.allowed_usd is None else round(order.allowed_usd * MICRO)
    task = Cap(scope=Scope.TASK, tokens=order.allowed_tokens, micro_usd=allowed)
    own = cap_of(Scope.AGENT, agent.budget, order.waived_on)
    theirs = cap_of(Scope.TENANT, agent.tenants.budget(tenant), order.waived_on)
    is_bounded = order.allowed_tokens is not None or allowed is not None
    return [cap for cap in (task if is_bounded else None, own, theirs) if cap is not None]


def answered(order: PlanOrder, reply: Reply) -> CallEnd:
    """Settle a call that brought a reply. One whose provider does not say what it took counts as reserved."""
    usage = reply.usage
    is_said = bool(usage.input_tokens or usage.output_tokens) or order.model.startswith(_SCRIPTED)
    return CallEnd(
        state=CallState.ANSWERED if is_said else CallState.LOST,
        usage=usage,
        micro_usd=cost_micro_usd(model_of(order), usage),
        latency_ms=reply.latency_ms,
        is_outage=False,
    )


def failed(error: Exception) -> CallEnd:
    """Settle a call that brought none: what may have been made may have to be paid."""
    reason = f"{error}"[:300]
    match error:
        case PlannerBusy():
            state = CallState.LOST if error.may_have_cost else CallState.UNPAID
            outage = True if error.is_outage else None
            return CallEnd(state=state, is_outage=outage, retry_after=error.retry_after, reason=reason)
        case PlannerError() | CallerError() | ConfigError():
            return CallEnd(state=CallState.UNPAID, reason=reason)
    return CallEnd(state=CallState.LOST, reason=reason)  # a bug, before or after the request
