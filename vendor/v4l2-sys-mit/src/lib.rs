//! Bindings of `linux/videodev2.h`, in place of the crate of the same name that runs bindgen (and so
//! wants libclang) at build time. Made by `regenerate.sh`, which sees to it that 32 and 64 bits
//! come out the same.
#![allow(clippy::all, non_camel_case_types, non_snake_case, non_upper_case_globals, missing_docs)]

include!("bindings.rs");
