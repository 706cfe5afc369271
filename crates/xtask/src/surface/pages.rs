//! What rustdoc's pages say, as lines.
//!
//! A page shows its item's declaration, and each method and implementation under a heading. Refuses pages of another form with an
//! error, so that a listing never gets shorter because a page was not understood.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context, Result, ensure};

/// What the names of pages begin with that show one item.
const ITEMS: [&str; 12] = [
    "struct",
    "enum",
    "union",
    "trait",
    "traitalias",
    "type",
    "fn",
    "constant",
    "static",
    "macro",
    "derive",
    "attr",
];
/// Where a page stops to be about its item: what the compiler implements for it, what everything implements, and what implements
/// a trait, which other crates decide, too.
const ENDS: [&str; 5] = [
    "id=\"synthetic-implementations\"",
    "id=\"blanket-implementations\"",
    "id=\"implementors\"",
    "id=\"foreign-impls\"",
    "id=\"deref-methods-",
];
/// A module of names alone: what each stands for is listed where it is at home.
const PRELUDE: &str = "::prelude";
/// A library of others that the surface has as a whole; its version is pinned, and its pages are its own.
const OTHERS: &str = "utoipa";

/// One line for each thing that the pages in `directory` show, of the library `name`.
pub(super) fn surface(directory: &Path, name: &str) -> Result<BTreeSet<String>> {
    let mut lines = BTreeSet::new();
    let mut open = vec![(directory.to_owned(), name.to_owned())];
    while let Some((directory, module)) = open.pop() {
        for entry in fs::read_dir(&directory).with_context(|| format!("listing {}", directory.display()))? {
            let path = entry?.path();
            let file = path.file_name().and_then(|file| file.to_str()).unwrap_or_default().to_owned();
            if path.is_dir() {
                if file == OTHERS {
                    lines.insert(format!("{module}: pub use {file}"));
                } else {
                    open.push((path, format!("{module}::{file}")));
                }
            } else if file == "index.html" {
                lines.extend(reexports(&text(&path)?).map(|line| format!("{module}: {line}")));
            } else if let Some(item) = item_of(&file) {
                if module.ends_with(PRELUDE) {
                    lines.insert(format!("{module}: {item}"));
                    continue;
                }
                let page = text(&path)?;
                // Where the item lies in a private module: the page leads on to the one that is shown.
                if page.contains("http-equiv=\"refresh\"") {
                    continue;
                }
                let shown = of_page(&page).with_context(|| format!("{} has another form", path.display()))?;
                lines.extend(shown.into_iter().map(|line| format!("{module}::{item}: {line}")));
            }
        }
    }
    ensure!(!lines.is_empty(), "{} shows nothing", directory.display());
    Ok(lines)
}

fn text(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}

/// The item of a page, by its file's name: `struct.App.html`. The page of `name!` leads to the page of `name`.
fn item_of(file: &str) -> Option<&str> {
    let (kind, item) = file.strip_suffix(".html")?.split_once('.')?;
    (ITEMS.contains(&kind) && !item.ends_with('!')).then_some(item)
}

/// What a module's page says that the module has under another's name.
fn reexports(page: &str) -> impl Iterator<Item = String> {
    let found = page.split("id=\"reexport.").skip(1).filter_map(|rest| between(rest, "<code>", "</code>"));
    found.map(plain)
}

/// The declaration of a page's item, its own public methods with the heading that they stand under, and what it implements.
fn of_page(page: &str) -> Result<Vec<String>> {
    let end = ENDS.iter().filter_map(|end| page.find(end)).min().unwrap_or(page.len());
    let page = page.get(..end).unwrap_or(page);
    let declaration = between(page, "<pre class=\"rust item-decl\"><code>", "</code></pre>");
    let declaration = plain(declaration.context("no declaration")?);
    let mut lines = vec![declaration];
    let (own, of_traits) = page.split_once("id=\"trait-implementations\"").unwrap_or((page, ""));
    // A trait's declaration has all that it requires and provides.
    if let Some((_, own)) = own.split_once("id=\"implementations\"") {
        let mut heading = String::new();
        for (level, text) in headings(own) {
            if level == '3' {
                heading = text;
            } else {
                lines.push(format!("{heading}: {text}"));
            }
        }
    }
    // The compiler's mark of a derived `PartialEq` is no trait that code can name.
    let named = |text: &String| !text.starts_with("impl StructuralPartialEq ");
    lines.extend(headings(of_traits).filter(|(level, _)| *level == '3').map(|(_, text)| text).filter(named));
    Ok(lines)
}

/// The headings that show code: their level, and their text.
fn headings(html: &str) -> impl Iterator<Item = (char, String)> {
    let mark = " class=\"code-header\">";
    let starts = html.match_indices(mark).map(move |(at, _)| (at, at + mark.len()));
    starts.filter_map(|(at, after)| {
        let level = html.get(..at)?.chars().next_back()?;
        let rest = html.get(after..)?;
        let text = rest.get(..rest.find(&format!("</h{level}>"))?)?;
        Some((level, plain(text)))
    })
}

fn between<'a>(text: &'a str, from: &str, to: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(from)?;
    Some(rest.split_once(to)?.0)
}

/// The text of HTML, on one line, however it was broken.
fn plain(html: &str) -> String {
    let mut text = String::new();
    let html = html.replace("<div class=\"where\">", " ");
    let mut rest = html.as_str();
    // What is folded away has a line for the fold itself.
    while let Some((before, after)) = rest.split_once("<summary") {
        text.push_str(before);
        rest = after.split_once("</summary>").map_or("", |(_, after)| after);
    }
    text.push_str(rest);
    let mut shown = String::new();
    for part in text.split('<').enumerate() {
        match part {
            (0, first) => shown.push_str(first),
            (_, tag) => shown.push_str(tag.split_once('>').map_or("", |(_, after)| after)),
        }
    }
    let shown = shown.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
    let shown = shown.replace("&#39;", "'").replace("&nbsp;", " ").replace("&amp;", "&");
    // The mark of a type about which the page has more to say.
    let shown = shown.replace('ⓘ', "");
    let shown = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    // A list of parameters that was broken over lines ends with a comma.
    shown.replace("( ", "(").replace(", )", ")")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_without_a_declaration_is_refused() {
        assert!(of_page("<h1>Something else</h1>").is_err());
        let directory = std::env::temp_dir().join(format!("bulkhead-pages-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        assert!(surface(&directory, "nothing").is_err());
        fs::write(directory.join("struct.App.html"), "<h1>App</h1>").unwrap();
        let refusal = format!("{:#}", surface(&directory, "planted").unwrap_err());
        assert!(refusal.contains("struct.App.html has another form"), "{refusal}");
        fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn markup_is_no_part_of_a_line() {
        let html = "pub fn <a href=\"#method.get\">get</a>(\n    &amp;self,\n    most: <a>Option</a>&lt;u8&gt;,\n) -&gt; &amp;'static str";
        assert_eq!(plain(html), "pub fn get(&self, most: Option<u8>) -> &'static str");
        assert_eq!(item_of("struct.App.html"), Some("App"));
        for none in ["index.html", "macro.meters!.html", "sidebar-items.js", "all.html"] {
            assert_eq!(item_of(none), None, "{none}");
        }
    }
}
