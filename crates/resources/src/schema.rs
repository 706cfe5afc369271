//! The table, as its migrations leave it.

diesel::table! {
    resources (id) {
        id -> Uuid,
        name -> Text,
        kind -> Text,
        data -> Json,
        data_bytes -> Int4,
        owner -> Text,
        version -> Int8,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}
