//! nodeprep.
