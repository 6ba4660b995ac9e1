//! What peers make an IOC hold: refused beyond the limits, given back exactly, and never more than the
//! account says, as the allocator counts it.

#[cfg(feature = "toml")]
mod attacks;
mod limits;
mod peer;
mod story;
#[cfg(feature = "toml")]
mod table;
