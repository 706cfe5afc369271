//! As much of JSON Schema as the document uses.

use serde_json::Value;

/// What is wrong with a value, each with where it is.
pub(crate) fn check(document: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if let Some(reference) = schema["$ref"].as_str() {
        let target = document.pointer(reference.trim_start_matches('#'));
        match target {
            Some(target) => wrong.extend(check(document, target, value, at)),
            None => wrong.push(format!("{at}: the document has no {reference}")),
        }
    }
    for part in list(&schema["allOf"]) {
        wrong.extend(check(document, part, value, at));
    }
    for alternatives in [&schema["oneOf"], &schema["anyOf"]] {
        let fits = |part: &Value| check(document, part, value, at).is_empty();
        if alternatives.is_array() && !list(alternatives).any(fits) {
            wrong.push(format!("{at}: {value} fits no alternative"));
        }
    }
    if !is_of_type(&schema["type"], value) {
        wrong.push(format!("{at}: {value} is not {}", schema["type"]));
        return wrong;
    }
    if schema["enum"].is_array() && !list(&schema["enum"]).any(|choice| choice == value) {
        wrong.push(format!("{at}: {value} is none of {}", schema["enum"]));
    }
    for name in list(&schema["required"]).filter_map(Value::as_str) {
        if value.get(name).is_none() {
            wrong.push(format!("{at}: {name} is missing"));
        }
    }
    if let (Some(properties), Some(members)) = (schema["properties"].as_object(), value.as_object()) {
        for (name, member) in members {
            match properties.get(name) {
                Some(schema) => wrong.extend(check(document, schema, member, &format!("{at}/{name}"))),
                // The parts of an `allOf` each describe only some of the members.
                None if at.is_empty() => {}
                None => wrong.push(format!("{at}/{name}: is not documented")),
            }
        }
    }
    if schema["items"].is_object() {
        for (index, item) in list(value).enumerate() {
            wrong.extend(check(document, &schema["items"], item, &format!("{at}/{index}")));
        }
    }
    wrong
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn is_of_type(wanted: &Value, value: &Value) -> bool {
    match wanted {
        Value::Array(any) => any.iter().any(|wanted| is_of_type(wanted, value)),
        Value::String(wanted) => match wanted.as_str() {
            "string" => value.is_string(),
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            "boolean" => value.is_boolean(),
            "array" => value.is_array(),
            "object" => value.is_object(),
            "null" => value.is_null(),
            _ => false,
        },
        _ => true,
    }
}
