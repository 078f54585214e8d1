//! nodeprep.
fn main() {}
