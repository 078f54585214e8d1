//! dnf and yum: what they would do, and doing that.

use std::collections::BTreeMap;

use crate::error::{Result, trouble};
use crate::host::Host;
use crate::step::Transaction;

impl Host {
    pub(super) fn rpm_foretells(
        &self,
        _transaction: &Transaction,
    ) -> Result<BTreeMap<String, Option<String>>> {
        Ok(BTreeMap::new())
    }

    pub(super) fn rpm_transacts(&self, _transaction: &Transaction) -> Result<()> {
        Err(trouble!("dnf is not asked yet"))
    }
}
