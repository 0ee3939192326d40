//! The kind of traffic of a request, which headers select. Every kind is served alike, and named in the
//! answer.

use axum::http::HeaderMap;

const DEDICATED: &str = "x-vertex-ai-llm-request-type";
const SHARED: &str = "x-vertex-ai-llm-shared-request-type";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, strum::VariantNames, strum::IntoStaticStr)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum Traffic {
    #[default]
    OnDemand,
    OnDemandFlex,
    OnDemandPriority,
    ProvisionedThroughput,
}

impl Traffic {
    pub fn of(headers: &HeaderMap) -> Traffic {
        let word = |name| headers.get(name).and_then(|value| value.to_str().ok());
        match (word(DEDICATED), word(SHARED)) {
            (Some("dedicated"), _) => Traffic::ProvisionedThroughput,
            (_, Some("flex")) => Traffic::OnDemandFlex,
            (_, Some("priority")) => Traffic::OnDemandPriority,
            _ => Traffic::OnDemand,
        }
    }

    pub fn as_str(self) -> &'static str {
        self.into()
    }
}
