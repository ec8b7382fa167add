//! Bindings of `linux/videodev2.h`, in place of the crate of the same name that runs bindgen (and so
//! wants libclang) at build time. Made by `regenerate.sh`, a file for each width of pointers; with the
//! headers of Debian 12 both come out the same.
#![allow(clippy::all, non_camel_case_types, non_snake_case, non_upper_case_globals, missing_docs)]

#[cfg(target_pointer_width = "64")]
include!("bindings_64.rs");
#[cfg(target_pointer_width = "32")]
include!("bindings_32.rs");
