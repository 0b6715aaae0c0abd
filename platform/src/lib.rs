//! What the operating system owns: TUN, UDP batches, routes and rules, system DNS, and how each is undone.
