//! rpm's database.

use super::Installed;
use crate::error::{Result, trouble};
use crate::host::Host;
use crate::step::Manager;

/// How these packages stand, in their order.
///
/// # Errors
/// Where that is not known.
pub fn installed(_host: &Host, _manager: Manager, _names: &[&str]) -> Result<Vec<Installed>> {
    Err(trouble!("rpm's database is not read yet"))
}
