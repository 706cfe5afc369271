//! The crate from outside: keys and tokens alone, and logging in and being let in against a real PostgreSQL.

#[cfg(test)]
mod access_tokens;
#[cfg(test)]
mod audit_key;
#[cfg(test)]
mod federated;
#[cfg(test)]
mod forged_tokens;
#[cfg(test)]
mod forger;
#[cfg(test)]
mod grants;
#[cfg(test)]
mod impersonation;
#[cfg(test)]
mod key_authority;
mod login;
#[cfg(test)]
mod node;
#[cfg(test)]
mod operator_keys;
#[cfg(test)]
mod ordering;
#[cfg(test)]
mod own_password;
#[cfg(test)]
mod own_roles;
#[cfg(test)]
mod races;
#[cfg(test)]
mod revoking;
#[cfg(test)]
mod root_key;
#[cfg(test)]
mod rotation;
#[cfg(test)]
mod second_factor;
#[cfg(test)]
mod signing_keys;
#[cfg(test)]
mod stale;
#[cfg(test)]
mod unknown_roles;
#[cfg(test)]
mod wire;
