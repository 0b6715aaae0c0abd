//! Two stacks against each other over a simulated link.
