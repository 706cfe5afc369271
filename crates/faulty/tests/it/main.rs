//! Applications with extensions of their own, and the faults of these: the real commands on real servers, through `dev` or with
//! the public test kit.

#[cfg(test)]
mod faults;
#[cfg(test)]
mod guide;
#[cfg(test)]
mod orders;
#[cfg(test)]
mod running;
#[cfg(test)]
mod unsound;
#[cfg(test)]
mod whole;
