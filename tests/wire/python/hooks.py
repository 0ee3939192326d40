"""Values that Schemathesis would not generate: a model that answers, and code that ends soon."""

import schemathesis

CODE = "print(6 * 7)"


@schemathesis.hook
def map_body(context, body):
    """Half of the requests use `direct` or short code."""
    if not isinstance(body, dict) or len(str(body)) % 2:
        return body
    if "model" in body and "input" in body:
        body = {**body, "model": "direct"}
    if isinstance(body.get("code"), str):
        body = {**body, "code": CODE}
    return body


@schemathesis.hook
def map_headers(context, headers):
    """Removes the fault header, because any valid fault would be applied."""
    return {name: value for name, value in (headers or {}).items() if name.lower() != "x-belljar-fault"}
