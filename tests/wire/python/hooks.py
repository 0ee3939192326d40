"""Values that Schemathesis would not generate: models that answer, and code that ends soon."""

import schemathesis

CODE = "print(6 * 7)"
EMBEDDING_MODEL = "gemini-embedding-2"
EMBEDDING_METHODS = (":embedContent", ":batchEmbedContents", ":asyncBatchEmbedContent", ":predict", "/embeddings")


def embeds(context):
    return context.operation is not None and context.operation.path.endswith(EMBEDDING_METHODS)


@schemathesis.hook
def map_body(context, body):
    """Half of the requests use `direct` or short code."""
    if not isinstance(body, dict) or len(str(body)) % 2:
        return body
    if "model" in body and "input" in body:
        body = {**body, "model": EMBEDDING_MODEL if embeds(context) else "direct"}
    if isinstance(body.get("code"), str):
        body = {**body, "code": CODE}
    return body


@schemathesis.hook
def map_path_parameters(context, parameters):
    """Half of the requests that embed go to a model with embeddings."""
    if parameters and "model" in parameters and embeds(context) and len(str(parameters)) % 2:
        return {**parameters, "model": EMBEDDING_MODEL}
    return parameters


@schemathesis.hook
def filter_path_parameters(context, parameters):
    """`/n/NAME` is not a version `n`, but the namespace of another path."""
    return not parameters or parameters.get("version") != "n"


@schemathesis.hook
def map_headers(context, headers):
    """Removes the fault header, because any valid fault would be applied."""
    return {name: value for name, value in (headers or {}).items() if name.lower() != "x-belljar-fault"}
