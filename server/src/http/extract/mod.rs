//! Extractors: the parts of a request that handlers take as arguments.

pub mod body;
pub mod credentials;
pub mod external_url;
pub mod namespace;
pub mod pagination;
pub mod query;
pub mod revision;
