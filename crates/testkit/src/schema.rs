//! As much of JSON Schema as the document uses.

use serde_json::Value;

use crate::id;

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
    if let (Some(prefix), Some(text)) = (id::described(schema), value.as_str())
        && id::prefix(text) != Some(prefix)
    {
        wrong.push(format!("{at}: {value} is no id that begins with {prefix}"));
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_id_of_another_kind_does_not_fit() {
        let schema = json!({ "type": ["string", "null"], "pattern": "^inv_[0-9a-hjkmnp-tv-z]{26}$" });
        let wrong = |value| check(&json!({}), &schema, &value, "").len();
        assert_eq!([wrong(json!(id::of_nothing("inv_"))), wrong(json!(null))], [0, 0]);
        assert_eq!([wrong(json!(id::of_nothing("cus_"))), wrong(json!("inv_1"))], [1, 1]);
    }
}
