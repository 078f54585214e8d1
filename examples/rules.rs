//! Prints the rules of the running packet filter as json: what the program sees, for the lab to
//! compare with what the system's own tools list.

use nodeprep::host::Host;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("{}", serde_json::to_string(&*Host::live().rules()?)?);
    Ok(())
}
