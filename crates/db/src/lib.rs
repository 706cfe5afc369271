//! PostgreSQL: the walls between tenants and every query.
