//! A report, parsed as XML and checked: it works offline, loads nothing, and is accessible to screen readers.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;

use quick_xml::events::Event;
use serde_json::Value;

use crate::support::command::{Scratch, run};

/// The page, parsed.
pub(crate) struct Page {
    pub(crate) text: String,
    /// The text in each element with an `id`.
    pub(crate) ids: BTreeMap<String, String>,
    /// The number of elements by name.
    elements: BTreeMap<String, usize>,
    /// The cells of each row, by the `id` of the table.
    pub(crate) tables: BTreeMap<String, Vec<Vec<String>>>,
    links: BTreeSet<String>,
    /// The data of the charts.
    pub(crate) data: Value,
}

impl Page {
    pub(crate) fn of(scratch: &Scratch, state: &str) -> Page {
        let ran = run([OsStr::new("report"), scratch.path(state).as_os_str()]).expect(0);
        assert_eq!(ran.stderr, "");
        Page::parse(ran.stdout)
    }

    /// Panics if the page is not well-formed, loads something, or is not accessible.
    fn parse(text: String) -> Page {
        assert!(text.starts_with("<!DOCTYPE html>\n<html lang=\"en\">"));
        let mut page = Page {
            text: String::new(),
            ids: BTreeMap::new(),
            elements: BTreeMap::new(),
            tables: BTreeMap::new(),
            links: BTreeSet::new(),
            data: Value::Null,
        };
        let mut reader = quick_xml::Reader::from_str(&text);
        reader.config_mut().check_comments = true;
        // The open elements, each with its id, if any.
        let mut open: Vec<(String, Option<String>)> = Vec::new();
        let mut table = String::new();
        loop {
            let event = reader.read_event().unwrap();
            let (element, is_empty) = match &event {
                Event::Start(element) => (Some(element), false),
                Event::Empty(element) => (Some(element), true),
                _ => (None, false),
            };
            if let Some(element) = element {
                let name = element.name().as_ref().to_owned();
                let attributes = page.attributes(element, &name);
                *page.elements.entry(name.clone()).or_default() += 1;
                let id = attributes.get("id").cloned();
                if let Some(id) = &id {
                    let before = page.ids.insert(id.clone(), String::new());
                    assert_eq!(before, None, "two of {id}");
                }
                match name.as_str() {
                    "table" => table = id.clone().unwrap_or_default(),
                    "tr" => page.tables.entry(table.clone()).or_default().push(vec![]),
                    "td" | "th" => page.last_row(&table).push(String::new()),
                    _ => {}
                }
                if !is_empty {
                    open.push((name, id));
                }
                continue;
            }
            let text = match event {
                Event::End(_) => {
                    open.pop();
                    continue;
                }
                Event::Text(text) => text.to_string(),
                Event::GeneralRef(reference) => {
                    let name = reference.to_string();
                    let resolved = match reference.resolve_char_ref().unwrap() {
                        Some(character) => Some(character.to_string()),
                        None => {
                            quick_xml::escape::resolve_predefined_entity(&name).map(str::to_owned)
                        }
                    };
                    resolved.unwrap_or_else(|| panic!("&{name};"))
                }
                // The scripts.
                Event::CData(_) | Event::DocType(_) => continue,
                Event::Eof => break,
                other => panic!("{other:?}"),
            };
            for (_, id) in &open {
                if let Some(id) = id {
                    page.ids.get_mut(id).unwrap().push_str(&text);
                }
            }
            if open.iter().any(|(name, _)| name == "td" || name == "th") {
                page.last_row(&table).last_mut().unwrap().push_str(&text);
            }
        }
        assert!(open.is_empty(), "{open:?}");
        page.text = text;
        page.data = serde_json::from_str(&page.ids["data"]).unwrap();
        page.assert_usable();
        page
    }

    fn attributes(
        &mut self,
        element: &quick_xml::events::BytesStart<'_>,
        name: &str,
    ) -> BTreeMap<String, String> {
        let mut attributes = BTreeMap::new();
        for attribute in element.attributes() {
            let attribute = attribute.unwrap();
            let key = attribute.key.as_ref().to_owned();
            let value = attribute.value.clone().into_owned();
            // These run a script, or load something.
            assert!(!key.starts_with("on") && key != "style", "{name} {key}");
            assert!(!["src", "srcset", "data", "action", "background"].contains(&key.as_str()));
            if key == "href" {
                let place = value.strip_prefix('#');
                self.links
                    .insert(place.expect("a link to another page").to_owned());
            }
            attributes.insert(key, value);
        }
        match name {
            "th" => assert!(attributes.contains_key("scope"), "{attributes:?}"),
            "section" => drop(self.links.insert(attributes["aria-labelledby"].clone())),
            _ => {}
        }
        attributes
    }

    fn last_row(&mut self, table: &str) -> &mut Vec<String> {
        self.tables.get_mut(table).unwrap().last_mut().unwrap()
    }

    fn assert_usable(&self) {
        for place in &self.links {
            let text = &self.ids[place];
            assert!(!text.trim().is_empty(), "{place} is empty");
        }
        let count = |name: &str| self.elements.get(name).copied().unwrap_or_default();
        assert_eq!(
            (count("h1"), count("main"), count("style"), count("script")),
            (1, 1, 1, 3)
        );
        assert_eq!(count("table"), count("caption"));
        for absent in [
            "img", "link", "iframe", "object", "embed", "image", "use", "base", "form",
        ] {
            assert_eq!(count(absent), 0, "{absent}");
        }
        assert!(self.text.contains("default-src 'none';"));
        // The address of the chart library, in a comment.
        let text = self
            .text
            .replace("https://github.com/leeoniya/uPlot (v", "");
        assert!(!text.contains("http:") && !text.contains("https:"));
        assert!(!self.text.contains("url(") && !self.text.contains("@import"));
    }

    pub(crate) fn cells(&self, table: &str) -> &[Vec<String>] {
        &self.tables[table][1..]
    }
}
