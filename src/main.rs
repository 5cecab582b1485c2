//! The user's program.

fn main() {}
