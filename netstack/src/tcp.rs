//! TCP in user space, by smoltcp.
