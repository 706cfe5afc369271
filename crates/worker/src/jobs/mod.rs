//! What the product's jobs do, one file each, under the names that their payloads have in `bulkhead-jobs`.

mod aggregate_usage;
mod decide_scaling;
mod fill_schema_pool;
mod keep_house;
mod provision_tenant;
mod purge_expired;
mod purge_tenant;
mod sweep_tenants;
