"""What the benches share: a world of network namespaces, the clients under test, and how figures are summed up."""
