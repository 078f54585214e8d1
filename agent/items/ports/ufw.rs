//! ufw.
