//! Bodies that an operation takes, made from what the document says of them.

use serde_json::{Map, Value, json};

/// A value that fits a schema: its example where it has one, every property of an object, the first choice of several.
pub(crate) fn fitting(document: &Value, schema: &Value) -> Value {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = document.pointer(reference.trim_start_matches('#'));
        return fitting(document, target.unwrap_or_else(|| panic!("the document has no {reference}")));
    }
    for given in [&schema["example"], &schema["default"], &schema["const"], &schema["enum"][0]] {
        if !given.is_null() {
            return given.clone();
        }
    }
    if let Some(parts) = schema["allOf"].as_array() {
        let members = parts.iter().filter_map(|part| fitting(document, part).as_object().cloned());
        let own = if schema["properties"].is_object() { object(document, schema) } else { Map::new() };
        return Value::Object(members.chain([own]).flatten().collect());
    }
    for word in ["oneOf", "anyOf"] {
        let mut choices = schema[word].as_array().into_iter().flatten();
        if let Some(choice) = choices.find(|choice| choice["type"] != "null") {
            return fitting(document, choice);
        }
    }
    match kind(schema) {
        Some("object") => Value::Object(object(document, schema)),
        Some("array") => json!([fitting(document, &schema["items"])]),
        Some("integer" | "number") => number(schema),
        Some("boolean") => json!(true),
        Some("string") => json!(text(schema)),
        // Any JSON.
        _ => json!({ "note": ["any"] }),
    }
}

/// The type of a value that is not null.
fn kind(schema: &Value) -> Option<&str> {
    if schema["properties"].is_object() {
        return Some("object");
    }
    match &schema["type"] {
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null"),
        kind => kind.as_str(),
    }
}

fn object(document: &Value, schema: &Value) -> Map<String, Value> {
    let Some(properties) = schema["properties"].as_object() else {
        return [("note".to_owned(), json!(["any"]))].into_iter().collect();
    };
    properties.iter().map(|(name, property)| (name.clone(), fitting(document, property))).collect()
}

fn number(schema: &Value) -> Value {
    let least = [&schema["minimum"], &schema["maximum"]].into_iter().find(|bound| bound.is_number());
    least.cloned().unwrap_or(json!(1))
}

fn text(schema: &Value) -> String {
    match schema["format"].as_str() {
        Some("date-time") => "2999-01-01T00:00:00Z".to_owned(),
        Some("date") => "2999-01-01".to_owned(),
        Some("uuid") => "01890a5d-ac96-774b-bcce-b302099a8057".to_owned(),
        Some("email") => format!("{}@example.com", crate::unique()),
        Some("uri") => "https://example.com/".to_owned(),
        _ => {
            let length = |name: &str| schema[name].as_u64().and_then(|length| usize::try_from(length).ok());
            let text = "a text".repeat(1 + length("minLength").unwrap_or(0) / 6);
            text.chars().take(length("maxLength").unwrap_or(usize::MAX)).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema;

    #[test]
    fn what_is_made_from_a_schema_fits_it() {
        let document = json!({ "components": { "schemas": {
            "Owner": { "type": "object", "properties": { "email": { "type": "string", "format": "email" } } },
            "Colour": { "type": "string", "enum": ["red", "blue"] },
        } } });
        let schema = json!({
            "type": "object",
            "properties": {
                "owner": { "$ref": "#/components/schemas/Owner" },
                "colour": { "oneOf": [{ "type": "null" }, { "$ref": "#/components/schemas/Colour" }] },
                "lines": { "type": "array", "items": { "type": "integer", "minimum": 3 } },
                "sent_at": { "type": ["string", "null"], "format": "date-time" },
                "name": { "type": "string", "minLength": 20, "maxLength": 21 },
                "due": { "type": "string", "example": "2026-12" },
                "data": { "type": "object" },
                "paid": { "type": "boolean" },
            },
            "required": ["owner", "colour", "lines", "sent_at", "name", "due", "data", "paid"],
        });
        let value = fitting(&document, &schema);
        assert_eq!(schema::check(&document, &schema, &value, ""), Vec::<String>::new(), "{value}");
        assert_eq!(
            (&value["colour"], &value["lines"], &value["due"]),
            (&json!("red"), &json!([3]), &json!("2026-12"))
        );
        assert_eq!(value["name"].as_str().map(str::len), Some(21));
        let parts =
            json!({ "allOf": [{ "$ref": "#/components/schemas/Owner" }, { "properties": { "paid": {} } }] });
        let all = fitting(&document, &parts);
        assert!(all["email"].is_string() && all["paid"].is_object(), "{all}");
    }
}
