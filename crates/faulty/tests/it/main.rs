//! An application with an extension of its own, and the faults of that extension, through `faulty dev`: the real commands on real
//! servers.

#[cfg(test)]
mod faults;
#[cfg(test)]
mod guide;
#[cfg(test)]
mod running;
#[cfg(test)]
mod whole;
