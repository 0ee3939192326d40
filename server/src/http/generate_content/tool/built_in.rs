//! The same tools as in [`crate::http::wire::tool::built_in`], as `generateContent` declares them.

use crate::http::generate_content::content::one_or_many;
use crate::http::wire::WireError;
use crate::http::wire::json_reader::{Node, ObjectReader};
use crate::http::wire::proto;
use crate::http::wire::tool::built_in::{
    self, headers, in_degrees, server_name, server_url, store_names, strings,
};
use backend::{BuiltIn, ComputerUse, FileSearch, GoogleMaps, McpServer, Tools};

/// Takes the tools out of an object that may declare several.
pub fn take(fields: &mut ObjectReader, tools: &mut Tools) -> Result<(), WireError> {
    if let Some(node) = fields.take("urlContext") {
        node.object()?.done()?;
        built_in::offer(tools, BuiltIn::UrlContext)?;
    }
    if let Some(node) = fields.take("googleMaps") {
        built_in::offer(tools, BuiltIn::GoogleMaps(google_maps(node.object()?.camel()?)?))?;
    }
    if let Some(node) = fields.take("fileSearch") {
        built_in::offer(tools, BuiltIn::FileSearch(file_search(node.object()?.camel()?)?))?;
    }
    if let Some(node) = fields.take("computerUse") {
        built_in::offer(tools, BuiltIn::ComputerUse(computer_use(node.object()?.camel()?)?))?;
    }
    let servers = fields.take("mcpServers").map(one_or_many).transpose()?.unwrap_or_default();
    for node in servers {
        built_in::offer(tools, BuiltIn::McpServer(mcp_server(node.object()?.camel()?)?))?;
    }
    Ok(())
}

/// The place of the user, which is not part of the tool here.
pub fn locate(config: Node, tools: &mut Tools) -> Result<(), WireError> {
    let mut fields = config.object()?.camel()?;
    fields.string("languageCode")?;
    let Some(place) = fields.take("latLng") else { return fields.done() };
    fields.done()?;
    let mut place = place.object()?.camel()?;
    let mut degrees = |name: &str, most: f64| {
        let node = place.take(name);
        node.map(|node| in_degrees(proto::number(&node)?, &node, most)).transpose()
    };
    let (latitude, longitude) = (degrees("latitude", 90.0)?, degrees("longitude", 180.0)?);
    place.done()?;
    for tool in &mut tools.built_in {
        if let BuiltIn::GoogleMaps(maps) = tool {
            (maps.latitude, maps.longitude) = (latitude, longitude);
        }
    }
    Ok(())
}

fn google_maps(mut fields: ObjectReader) -> Result<GoogleMaps, WireError> {
    let enable_widget = fields.boolean("enableWidget")?.unwrap_or(false);
    // No service is asked.
    for name in ["authConfig", "groundingTypes"] {
        fields.object(name)?;
    }
    fields.done()?;
    Ok(GoogleMaps { enable_widget, ..GoogleMaps::default() })
}

fn file_search(mut fields: ObjectReader) -> Result<FileSearch, WireError> {
    let top_k = fields.take("topK").map(|node| built_in::top_k(proto::int64(&node)?, &node));
    let search = FileSearch {
        file_search_store_names: store_names(fields.require("fileSearchStoreNames")?)?,
        metadata_filter: fields.take("metadataFilter").map(built_in::filter).transpose()?,
        top_k: top_k.transpose()?,
    };
    fields.done()?;
    Ok(search)
}

fn computer_use(mut fields: ObjectReader) -> Result<ComputerUse, WireError> {
    let environment = fields.take("environment").map(|node| proto::ENVIRONMENT.one_of(node, &[]));
    let environment = environment.transpose()?;
    let excluded = fields.take("excludedPredefinedFunctions").map(strings).transpose()?;
    let disabled = fields.take("disabledSafetyPolicies").map(Node::list).transpose()?;
    let disabled = disabled.unwrap_or_default().into_iter();
    let disabled = disabled.map(|node| proto::SAFETY_POLICY.one_of(node, &[]));
    let computer = ComputerUse {
        environment: environment
            .filter(|name| name != proto::ENVIRONMENT.unspecified())
            .map(|name| name.trim_start_matches("ENVIRONMENT_").to_ascii_lowercase()),
        excluded_predefined_functions: excluded.unwrap_or_default(),
        disabled_safety_policies: disabled
            .map(|name| name.map(|name| name.to_ascii_lowercase()))
            .collect::<Result<_, _>>()?,
        enable_prompt_injection_detection: fields
            .boolean("enablePromptInjectionDetection")?
            .unwrap_or(false),
    };
    fields.done()?;
    Ok(computer)
}

fn mcp_server(mut fields: ObjectReader) -> Result<McpServer, WireError> {
    let name = server_name(fields.require("name")?)?;
    let mut transport = fields.require("streamableHttpTransport")?.object()?.camel()?;
    fields.done()?;
    let url = server_url(transport.require("url")?)?;
    let headers = transport.take("headers").map(headers).transpose()?.unwrap_or_default();
    // The server has time limits of its own.
    for name in ["timeout", "sseReadTimeout"] {
        transport.string(name)?;
    }
    transport.boolean("terminateOnClose")?;
    transport.done()?;
    Ok(McpServer { name, url, headers, allowed_tools: Vec::new() })
}
