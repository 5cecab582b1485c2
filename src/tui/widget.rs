//! Pieces that several screens are drawn from. Layout and wording only; no piece knows the network.

pub mod bar;
pub mod dialog;
pub mod figures;
pub mod graph;
pub mod input;
pub mod json;
pub mod list;
pub mod pane;
pub mod table;
pub mod text;
pub mod tree;
