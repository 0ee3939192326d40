//! The responses of `generateContent` and `countTokens`.

use serde_json::{Value, json};
use strum::VariantNames as _;

use crate::http::openapi::schema::{
    Schema, answer, any_of, base64, count, list, only, or_number, text, time, word,
};
use crate::http::vertex::Traffic;
use crate::http::wire::proto;
use domain::interaction::ServiceTier;

pub static GENERATE_CONTENT_RESPONSE: Schema = Schema::new("GenerateContentResponse", |_| {
    let mut candidate = candidate();
    candidate["index"] = json!({"type": "integer", "const": 0});
    response(candidate, usage())
});
pub static COUNT_TOKENS_RESPONSE: Schema =
    Schema::new("CountTokensResponse", |_| answer(&CACHED, counts()));

/// In the dialect of Vertex AI.
pub static VERTEX_GENERATE_CONTENT_RESPONSE: Schema =
    Schema::new("VertexGenerateContentResponse", |_| {
        let traffic = || json!({"trafficType": word(Traffic::VARIANTS)});
        let usage = with_counts(traffic());
        let until_the_end = answer(&[], traffic());
        let mut response = response(candidate(), any_of(&[usage, until_the_end]));
        response["properties"]["createTime"] = time("When the model began to answer.");
        response
    });
pub static VERTEX_COUNT_TOKENS_RESPONSE: Schema = Schema::new("VertexCountTokensResponse", |_| {
    let mut counts = counts();
    counts["totalBillableCharacters"] = count("Characters of texts that are no spaces.");
    answer(&CACHED, counts)
});

/// Only with a cached content.
const CACHED: [&str; 1] = ["cachedContentTokenCount"];

fn counts() -> Value {
    json!({
        "totalTokens": count("The total."),
        "promptTokensDetails": details(),
        "cachedContentTokenCount": count("Cached part of the total."),
    })
}

fn response(candidate: Value, usage: Value) -> Value {
    answer(
        &["usageMetadata"],
        json!({
            "candidates": list(answer(
                &["finishReason", "groundingMetadata", "urlContextMetadata"], candidate)),
            "usageMetadata": usage,
            "modelVersion": {"type": "string"},
            "responseId": {"type": "string"},
        }),
    )
}

fn candidate() -> Value {
    json!({
        "content": answer(&[], json!({"parts": list(part()), "role": only("model")})),
        "finishReason": or_number(json!({"type": "string"})),
        "groundingMetadata": grounding(),
        "urlContextMetadata": url_context(),
    })
}

fn usage() -> Value {
    with_counts(json!({"serviceTier": or_number(word(ServiceTier::VARIANTS))}))
}

/// Token counts beside these fields.
fn with_counts(mut fields: Value) -> Value {
    let counts = [
        ("promptTokenCount", count("The prompt, counted once.")),
        ("candidatesTokenCount", count("Generated code and text.")),
        ("totalTokenCount", count("The total.")),
        ("promptTokensDetails", details()),
        ("candidatesTokensDetails", details()),
    ];
    let optional = [
        ("toolUsePromptTokenCount", count("In streams only in the last chunk.")),
        ("toolUsePromptTokensDetails", details()),
        ("thoughtsTokenCount", count("Thoughts.")),
        ("cachedContentTokenCount", count("Cached part of the prompt.")),
        ("cacheTokensDetails", details()),
    ];
    let names = optional.clone().map(|(name, _)| name);
    for (name, schema) in counts.into_iter().chain(optional) {
        fields[name] = schema;
    }
    answer(&names, fields)
}

/// Tokens by modality.
pub fn details() -> Value {
    list(answer(
        &[],
        json!({
            "modality": or_number(word(&["TEXT", "IMAGE", "AUDIO", "VIDEO", "DOCUMENT"])),
            "tokenCount": count("Number of tokens."),
        }),
    ))
}

fn part() -> Value {
    let signature = || text("Opaque. Send it back unchanged.");
    let string = || json!({"type": "string"});
    let text_part = json!({
        "text": string(),
        "thought": {"type": "boolean"},
        "thoughtSignature": signature(),
    });
    let blob = json!({"mimeType": string(), "data": base64("The data.")});
    let code = json!({
        "language": or_number(only("PYTHON")),
        "code": string(),
        "id": string(),
    });
    let outcomes = word(&["OUTCOME_OK", "OUTCOME_FAILED", "OUTCOME_DEADLINE_EXCEEDED"]);
    let result = json!({"outcome": or_number(outcomes), "output": string(), "id": string()});
    let call = json!({"id": string(), "name": string(), "args": {"type": "object"}});
    any_of(&[
        answer(&["thought", "thoughtSignature"], text_part),
        answer(&[], json!({"inlineData": answer(&["mimeType"], blob)})),
        answer(
            &["thoughtSignature"],
            json!({"executableCode": answer(&[], code), "thoughtSignature": signature()}),
        ),
        answer(&[], json!({"codeExecutionResult": answer(&[], result)})),
        answer(
            &["thoughtSignature"],
            json!({"functionCall": answer(&[], call), "thoughtSignature": signature()}),
        ),
        answer(
            &["thoughtSignature"],
            json!({
                "toolCall": answer(&["args"], invocation("args")),
                "thoughtSignature": signature(),
            }),
        ),
        answer(&[], json!({"toolResponse": answer(&["response"], invocation("response"))})),
    ])
}

/// A call of a server's tool, or its result, for requests with `includeServerSideToolInvocations`.
fn invocation(payload: &str) -> Value {
    let types = proto::TOOL_TYPE.names();
    let mut fields = json!({"toolType": or_number(word(&types)), "id": {"type": "string"}});
    fields[payload] = json!({"type": "object"});
    fields
}

fn url_context() -> Value {
    let statuses = ["SUCCESS", "ERROR", "PAYWALL", "UNSAFE"];
    let statuses = statuses.map(|status| format!("URL_RETRIEVAL_STATUS_{status}"));
    let url = json!({
        "retrievedUrl": {"type": "string"},
        "urlRetrievalStatus": or_number(json!({"type": "string", "enum": statuses})),
    });
    answer(&[], json!({"urlMetadata": list(answer(&[], url))}))
}

fn grounding() -> Value {
    let string = || json!({"type": "string"});
    let place = answer(&[], json!({"placeId": string(), "uri": string(), "title": string()}));
    let context = answer(
        &["customMetadata"],
        json!({
            "title": string(),
            "text": string(),
            "fileSearchStore": string(),
            "customMetadata": list(json!({"type": "object"})),
        }),
    );
    let page = answer(&[], json!({"uri": string(), "title": string()}));
    let segment = answer(
        &["partIndex", "startIndex"],
        json!({
            "partIndex": count("Index of the part, from 0."),
            "startIndex": count("Start in the part, in bytes."),
            "endIndex": count("End in the part, in bytes."),
            "text": string(),
        }),
    );
    let support = json!({
        "groundingChunkIndices": list(count("Indices from 0.")),
        "segment": segment,
    });
    answer(
        &[
            "webSearchQueries",
            "searchEntryPoint",
            "groundingChunks",
            "groundingSupports",
            "googleMapsWidgetContextToken",
        ],
        json!({
            "webSearchQueries": list(string()),
            "searchEntryPoint": answer(&[], json!({"renderedContent": string()})),
            "groundingChunks": list(any_of(&[
                answer(&[], json!({"web": page})),
                answer(&[], json!({"maps": place})),
                answer(&[], json!({"retrievedContext": context})),
            ])),
            "googleMapsWidgetContextToken": string(),
            "groundingSupports": list(answer(&[], support)),
        }),
    )
}
