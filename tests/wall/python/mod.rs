//! What ordinary Python code and its libraries find in a cell.

mod arguments;
mod fonts;
mod kits;
mod large_pages;
mod left_open;
mod libraries;
mod output;
mod pictures;
mod plotting;
mod results;
mod source;
mod spawned;
mod state;
mod streams;
