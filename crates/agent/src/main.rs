//! netns-agent: finds every network interface of a Kubernetes node and exports what it carries.
fn main() {}
