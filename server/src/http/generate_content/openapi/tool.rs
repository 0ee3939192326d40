//! Tools of a request.

use serde_json::{Value, json};

use super::{any_name, enumeration};
use crate::http::openapi::schema::{
    ComponentSchemas, Schema, any_object, any_of, flag, list, request,
};
use crate::http::wire::proto;

pub static GENERATE_TOOL: Schema = Schema::new("GenerateTool", generate_tool);
static FUNCTION_DECLARATION: Schema = Schema::new("FunctionDeclaration", function_declaration);
pub static TOOL_CONFIG: Schema = Schema::new("ToolConfig", tool_config);

fn generate_tool(schemas: &ComponentSchemas) -> Value {
    request(
        &[],
        json!({
            "codeExecution": request(&[], json!({})),
            "googleSearch": request(&[], json!({
                "searchTypes": any_object("Accepted and ignored."),
                "timeRangeFilter": any_object("Accepted and ignored."),
            })),
            "functionDeclarations": any_of(&[schemas.named(&FUNCTION_DECLARATION),
                                             list(schemas.named(&FUNCTION_DECLARATION))]),
        }),
    )
}

fn function_declaration(_: &ComponentSchemas) -> Value {
    request(
        &["name"],
        json!({
            "name": {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_.:-]{0,127}$"},
            "description": {"type": "string"},
            "parameters": any_object("A schema in this API's dialect of JSON Schema."),
            "parametersJsonSchema": {"description": "JSON Schema."},
            "response": {}, "responseJsonSchema": {}, "behavior": any_name(proto::BEHAVIOR),
        }),
    )
}

fn tool_config(_: &ComponentSchemas) -> Value {
    request(
        &[],
        json!({
            "includeServerSideToolInvocations":
                flag("Required with both code execution and functions."),
            "functionCallingConfig": request(&[], json!({
                "mode": enumeration(proto::FUNCTION_CALLING_MODE, &[]),
                "allowedFunctionNames": list(json!({"type": "string"})),
                "streamFunctionCallArguments": {"type": "boolean"},
            })),
            "retrievalConfig": {"type": "object"},
        }),
    )
}
