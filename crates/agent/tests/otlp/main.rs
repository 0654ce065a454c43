//! What receivers get: a real one (rotel) for what should work, one of the tests' own for faults.

mod certificates;
mod faults;
mod faulty;
mod made;
mod rotel;
mod sizes;
mod works;
