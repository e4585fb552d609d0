"""SimulatePrincipalPolicy, which moto lacks: asked by those who want to know what they may before they try it."""

from __future__ import annotations

import uuid
from xml.sax.saxutils import escape

from scaler.testing.localcloud.answers import Answer, AwsError
from scaler.testing.localcloud.call import Call
from scaler.testing.localcloud.forms import structured
from scaler.testing.localcloud.iam.access import Access
from scaler.testing.localcloud.iam.identity import Principal
from scaler.testing.localcloud.iam.needs import Need
from scaler.testing.localcloud.moto_part import backend

_SPACE = "https://iam.amazonaws.com/doc/2010-05-08/"


def simulate(call: Call, access: Access) -> Answer:
    """Every action on every resource. With the cloud's lock held."""
    given = structured(call)
    source = str(given.get("PolicySourceArn", ""))
    iam = backend("iam", "aws")
    holders = [*iam.users.values(), *iam.roles.values()]
    if source.split(":")[2:3] != ["iam"]:
        raise AwsError("InvalidInput", f"Invalid Entity Arn: {source} does not clearly define entity type and name.")
    if not any(each.arn == source for each in holders):
        raise AwsError("NoSuchEntity", f"The entity {source} cannot be found.", 404)
    context = {each["ContextKeyName"]: each.get("ContextKeyValues", []) for each in given.get("ContextEntries", [])}
    results = "".join(
        _result(action, resource, access.decide(Principal(source, source), Need(action, resource, context))[0].value)
        for action in given.get("ActionNames", [])
        for resource in given.get("ResourceArns", ["*"])
    )
    text = (
        f'<SimulatePrincipalPolicyResponse xmlns="{_SPACE}"><SimulatePrincipalPolicyResult>'
        f"<IsTruncated>false</IsTruncated><EvaluationResults>{results}</EvaluationResults>"
        f"</SimulatePrincipalPolicyResult><ResponseMetadata><RequestId>{uuid.uuid4()}</RequestId></ResponseMetadata>"
        "</SimulatePrincipalPolicyResponse>"
    )
    return Answer(200, {"Content-Type": "text/xml"}, text.encode())


def _result(action: str, resource: str, decision: str) -> str:
    return (
        f"<member><EvalActionName>{escape(action)}</EvalActionName>"
        f"<EvalResourceName>{escape(resource)}</EvalResourceName><EvalDecision>{decision}</EvalDecision>"
        "<MatchedStatements/><MissingContextValues/></member>"
    )
