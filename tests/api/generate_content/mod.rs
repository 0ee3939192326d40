//! `generateContent` and its relatives.

mod generate;
mod generate_ordered;
mod proto_json;
