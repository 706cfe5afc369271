//! Bodies that an operation takes, made from what the document says of them.

use serde_json::{Map, Value, json};

use crate::{id, unique};

/// A text that no other body has fits where this many characters fit.
const OWN_TEXT: u64 = 24;

/// A value that fits a schema: its example where it has one, every property of an object, the first choice of several.
pub(crate) fn fitting(document: &Value, schema: &Value) -> Value {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = document.pointer(reference.trim_start_matches('#'));
        return fitting(document, target.unwrap_or_else(|| panic!("the document has no {reference}")));
    }
    let written = [&schema["example"], &schema["examples"][0]];
    for given in written.into_iter().chain([&schema["default"], &schema["const"], &schema["enum"][0]]) {
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
    if let Some(prefix) = id::described(schema) {
        return id::of_nothing(prefix);
    }
    match schema["format"].as_str() {
        Some("date-time") => "2999-01-01T00:00:00Z".to_owned(),
        Some("date") => "2999-01-01".to_owned(),
        Some("uuid") => "01890a5d-ac96-774b-bcce-b302099a8057".to_owned(),
        Some("email") => format!("{}@example.com", unique()),
        Some("uri") => "https://example.com/".to_owned(),
        _ => {
            let length = |name: &str| schema[name].as_u64().and_then(|length| usize::try_from(length).ok());
            let text = "a text".repeat(1 + length("minLength").unwrap_or(0) / 6);
            text.chars().take(length("maxLength").unwrap_or(usize::MAX)).collect()
        }
    }
}

/// One value of what [`fitting`] makes of a schema: neither an object with members nor a list.
#[derive(Debug)]
pub(crate) struct Leaf<'d> {
    /// Where it is.
    pub(crate) pointer: String,
    pub(crate) schema: &'d Value,
    /// Where the innermost part is that has it inside and may be left out, or that is it.
    optional: Option<String>,
    /// Whether null may stand there.
    nullable: bool,
}

impl Leaf<'_> {
    /// Takes it out of the body, if the body may be without it.
    pub(crate) fn leave_out(&self, body: &mut Value) {
        if let Some((parent, name)) = self.optional.as_deref().and_then(|pointer| pointer.rsplit_once('/')) {
            match body.pointer_mut(parent) {
                Some(Value::Object(members)) => {
                    members.remove(&name.replace("~1", "/").replace("~0", "~"));
                }
                Some(Value::Array(items)) => items.clear(),
                _ => {}
            }
        } else if let Some(value) = body.pointer_mut(&self.pointer).filter(|_| self.nullable) {
            *value = Value::Null;
        }
    }
}

/// Every value of what [`fitting`] makes of a schema.
pub(crate) fn leaves<'d>(document: &'d Value, schema: &'d Value) -> Vec<Leaf<'d>> {
    let mut found = Vec::new();
    let root = Leaf { pointer: String::new(), schema, optional: None, nullable: false };
    walk(document, root, &mut found);
    found
}

fn walk<'d>(document: &'d Value, at: Leaf<'d>, found: &mut Vec<Leaf<'d>>) {
    let (schema, nullable) = (plain(document, at.schema), is_nullable(document, at.schema));
    let Leaf { pointer, optional, .. } = at;
    let inside = |pointer: String, schema, may_lack: bool| {
        let optional = if may_lack { Some(pointer.clone()) } else { optional.clone() };
        Leaf { pointer, schema, optional, nullable: false }
    };
    for part in schema["allOf"].as_array().into_iter().flatten() {
        walk(
            document,
            Leaf { pointer: pointer.clone(), schema: part, optional: optional.clone(), nullable },
            found,
        );
    }
    if let Some(properties) = schema["properties"].as_object() {
        let is_required = |name: &str| {
            schema["required"].as_array().is_some_and(|required| required.iter().any(|one| one == name))
        };
        for (name, property) in properties {
            let pointer = format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
            walk(document, inside(pointer, property, !is_required(name)), found);
        }
        return;
    }
    match kind(schema) {
        Some("array") => {
            let may_be_empty = schema["minItems"].as_u64().unwrap_or(0) == 0;
            walk(document, inside(format!("{pointer}/0"), &schema["items"], may_be_empty), found);
        }
        Some("object") | None => {}
        Some(_) => found.push(Leaf { pointer, schema, optional, nullable }),
    }
}

/// What says of one value what it is: behind a reference, and the first of several choices that is not null.
pub(crate) fn plain<'d>(document: &'d Value, schema: &'d Value) -> &'d Value {
    let target = schema["$ref"].as_str().and_then(|path| document.pointer(path.trim_start_matches('#')));
    let choices = ["oneOf", "anyOf"].iter().filter_map(|word| schema[word].as_array()).flatten();
    let chosen = target.or_else(|| choices.into_iter().find(|choice| choice["type"] != "null"));
    chosen.map_or(schema, |chosen| plain(document, chosen))
}

fn is_nullable(document: &Value, schema: &Value) -> bool {
    let choices = ["oneOf", "anyOf"].iter().filter_map(|word| schema[word].as_array()).flatten();
    let is_null = |choice: &Value| choice["type"] == "null";
    let kinds = plain(document, schema)["type"].as_array().into_iter().flatten();
    choices.into_iter().any(is_null) || kinds.into_iter().any(|kind| kind == "null")
}

/// Whether any text may stand there, also one that no other body has.
pub(crate) fn is_free_text(schema: &Value) -> bool {
    let is_told =
        ["enum", "const", "pattern", "format", "default"].iter().any(|word| !schema[word].is_null());
    let has_room = schema["maxLength"].as_u64().is_none_or(|most| most >= OWN_TEXT);
    kind(schema) == Some("string") && !is_told && has_room && id::prefix_of(schema).is_none()
}

/// Gives the body texts and addresses of its own wherever any may stand: which of them may exist once the document does not
/// tell.
pub(crate) fn distinguish(document: &Value, schema: &Value, body: &mut Value) {
    for leaf in leaves(document, schema) {
        let Some(value) = body.pointer_mut(&leaf.pointer).filter(|value| value.is_string()) else { continue };
        if is_free_text(leaf.schema) {
            let least = leaf.schema["minLength"].as_u64().and_then(|least| usize::try_from(least).ok());
            *value = json!(format!("{:-<1$}", format!("mark-{}", unique()), least.unwrap_or(0)));
        } else if leaf.schema["format"] == "email" {
            *value = json!(format!("{}@example.com", unique()));
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
    #[test]
    fn texts_are_a_bodys_own_where_any_may_stand() {
        let document = json!({});
        let kept = [
            ("short", json!({ "type": "string", "maxLength": 23, "example": "here" })),
            ("chosen", json!({ "type": "string", "enum": ["here", "there"] })),
            ("formed", json!({ "type": "string", "pattern": "^[a-z]+$", "example": "here" })),
            ("usual", json!({ "type": "string", "default": "here" })),
            ("customer", json!({ "type": "string", "example": id::of_nothing("cus_") })),
            ("cents", json!({ "type": "integer", "example": 7 })),
        ];
        let own = [
            ("name", json!({ "type": "string", "maxLength": 24, "example": "here" })),
            ("long", json!({ "type": ["string", "null"], "minLength": 40 })),
            ("address", json!({ "type": "string", "format": "email", "example": "a@example.com" })),
        ];
        let properties = |of: &[(&str, Value)]| {
            of.iter().cloned().map(|(name, schema)| (name.to_owned(), schema)).collect::<Map<_, _>>()
        };
        let mut all = properties(&kept);
        all.insert(
            "inside".to_owned(),
            json!({ "type": "array", "items": { "properties": properties(&own) } }),
        );
        let schema = json!({ "type": "object", "properties": all });
        let made = || {
            let mut body = fitting(&document, &schema);
            distinguish(&document, &schema, &mut body);
            body
        };
        let (one, other) = (made(), made());
        assert_eq!(schema::check(&document, &schema, &one, ""), Vec::<String>::new(), "{one}");
        for (name, _) in kept {
            assert_eq!(one[name], other[name], "{name}");
        }
        for (name, _) in own {
            let [one, other] = [&one, &other].map(|body| &body["inside"][0][name]);
            assert!(one.is_string() && one != other, "{name}: {one}, {other}");
        }
        assert_eq!(one["inside"][0]["long"].as_str().map(str::len), Some(40));
    }

    #[test]
    fn what_may_be_left_out_is_and_nothing_else() {
        let document = json!({ "components": { "schemas": { "Line": {
            "type": "object",
            "properties": { "product": { "type": "string" } },
            "required": ["product"],
        } } } });
        let line = json!({ "$ref": "#/components/schemas/Line" });
        let schema = json!({
            "type": "object",
            "properties": {
                "a/b": { "type": "string" },
                "void": { "type": ["string", "null"] },
                "there": { "type": "string" },
                "first": line,
                "second": { "oneOf": [{ "type": "null" }, line] },
                "some": { "type": "array", "items": line },
                "many": { "type": "array", "items": line, "minItems": 1 },
            },
            "required": ["void", "there", "first", "some", "many"],
        });
        let body = fitting(&document, &schema);
        let found = leaves(&document, &schema);
        let places: Vec<&str> = found.iter().map(|leaf| leaf.pointer.as_str()).collect();
        assert_eq!(places.len(), 7, "{places:?}");
        let mut left = body.clone();
        for leaf in &found {
            assert!(body.pointer(&leaf.pointer).is_some(), "{leaf:?}: {body}");
            leaf.leave_out(&mut left);
        }
        let line = json!({ "product": "a text" });
        let wanted = json!({ "void": null, "there": "a text", "first": line, "some": [], "many": [line] });
        assert_eq!(left, wanted);
    }
}
