//! The shape in which a node reports what it has counted.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    id::TenantId,
    metering::{MeterText, RequestStats},
};

/// The hundreds digit of a status: 2 for 2xx.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StatusClass(u8);

impl StatusClass {
    /// The class of an HTTP status code.
    pub fn of(status: u16) -> Self {
        Self(u8::try_from(status / 100).unwrap_or_default())
    }

    /// The class as the database keeps it.
    pub const fn get(self) -> u8 {
        self.0
    }
}

/// What one slot of a batch counts: one tenant, one route, one class of answers, one minute.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UsageKey {
    /// Whose usage it is.
    pub tenant: TenantId,
    /// The operation that answered, by its OpenAPI operation id.
    pub route: String,
    /// The class of the answers.
    pub status: StatusClass,
    /// The minute in which the requests began, in minutes since the Unix epoch: a request that began in one billing
    /// period belongs to it however late it is answered.
    pub minute: u32,
}

/// What a quantity in a batch is counted under: one tenant, one meter, one minute.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MeterKey {
    /// Whose usage it is.
    pub tenant: TenantId,
    /// Of what. The node that applies the batch may not have declared it.
    pub meter: MeterText,
    /// The minute in which the requests began, in minutes since the Unix epoch.
    pub minute: u32,
}

/// Names a batch for all time: it is applied at most once, however often it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BatchId {
    /// The recorder that made the batch: a process, new at every start.
    pub recorder_id: Uuid,
    /// The batch's number at that recorder, from 1 without gaps.
    pub seq: u64,
}

/// What one recorder counted between two flushes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageBatch {
    /// The batch's name.
    pub id: BatchId,
    /// The node that runs the recorder, for people who look into the tables.
    pub node: String,
    /// What requests used; each key at most once.
    pub entries: Vec<(UsageKey, RequestStats)>,
    /// What was counted beside that, in thousandths of the meter's unit; each key at most once.
    pub quantities: Vec<(MeterKey, u128)>,
}

impl UsageBatch {
    /// How many keys it has, each of which is a few rows.
    pub fn keys(&self) -> usize {
        self.entries.len() + self.quantities.len()
    }

    /// The minute of the latest request in it, in minutes since the Unix epoch; `None` when it is empty.
    pub fn newest_minute(&self) -> Option<u32> {
        let of_requests = self.entries.iter().map(|(key, _)| key.minute);
        of_requests.chain(self.quantities.iter().map(|(key, _)| key.minute)).max()
    }
}
