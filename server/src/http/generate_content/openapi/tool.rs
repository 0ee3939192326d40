//! Tools of a request.

use serde_json::{Value, json};

use super::{any_name, enumeration, float, int32};
use crate::http::openapi::schema::{
    ComponentSchemas, Schema, any_object, any_of, flag, list, request,
};
use crate::http::wire::proto;
use crate::http::wire::tool::built_in;

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
            "urlContext": request(&[], json!({})),
            "googleMaps": request(&[], json!({
                "enableWidget": {"type": "boolean"},
                "authConfig": any_object("Accepted and ignored."),
                "groundingTypes": any_object("Accepted and ignored."),
            })),
            "fileSearch": file_search(),
            "computerUse": computer_use(),
            "mcpServers": any_of(&[mcp_server(), list(mcp_server())]),
            "functionDeclarations": any_of(&[schemas.named(&FUNCTION_DECLARATION),
                                             list(schemas.named(&FUNCTION_DECLARATION))]),
        }),
    )
}

fn file_search() -> Value {
    let mut stores = list(json!({"type": "string", "pattern": "^fileSearchStores/."}));
    stores["minItems"] = 1.into();
    stores["maxItems"] = built_in::MAX_STORES.into();
    request(
        &["fileSearchStoreNames"],
        json!({
            "fileSearchStoreNames": stores,
            "topK": int32(json!({"minimum": 1, "maximum": built_in::MAX_TOP_K})),
            "metadataFilter": {"type": "string"},
        }),
    )
}

fn computer_use() -> Value {
    request(
        &[],
        json!({
            "environment": enumeration(proto::ENVIRONMENT, &[]),
            "excludedPredefinedFunctions": list(json!({"type": "string"})),
            "disabledSafetyPolicies": list(enumeration(proto::SAFETY_POLICY, &[])),
            "enablePromptInjectionDetection": {"type": "boolean"},
        }),
    )
}

fn mcp_server() -> Value {
    let transport = json!({
        "url": {"type": "string", "format": "uri", "pattern": "^https?://[A-Za-z0-9]"},
        "headers": {"type": "object", "additionalProperties": {"type": "string"},
                    "maxProperties": built_in::MAX_HEADERS},
        "timeout": {"type": "string"},
        "sseReadTimeout": {"type": "string"},
        "terminateOnClose": {"type": "boolean"},
    });
    request(
        &["name", "streamableHttpTransport"],
        json!({
            "name": {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_.:]{0,127}$"},
            "streamableHttpTransport": request(&["url"], transport),
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
            "retrievalConfig": request(&[], json!({
                "languageCode": {"type": "string"},
                "latLng": request(&[], json!({
                    "latitude": float(json!({"minimum": -90, "maximum": 90})),
                    "longitude": float(json!({"minimum": -180, "maximum": 180})),
                })),
            })),
        }),
    )
}
