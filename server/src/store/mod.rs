//! The events of each interaction, and following them.
