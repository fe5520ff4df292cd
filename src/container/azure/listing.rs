//! The XML of a page of a listing, as described in Azure's REST documentation, "List Blobs".
//!
//! Names are kept unchanged, including white space, because any program may have created them.

use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesRef, BytesStart, Event};
use thiserror::Error;

use super::super::credential::sas::percent_decoded;
use super::super::{Availability, BlobEntry, ListMarker, ListPage, Stamp};

/// The maximum depth of nested elements; the service uses five or six.
const MAX_DEPTH: usize = 32;

/// Why a text is not a page of a listing.
#[derive(Debug, Error)]
pub(super) enum InvalidListing {
    /// Only the position, because the reader's error would repeat foreign text.
    #[error("the listing is not valid XML at byte {0}")]
    Xml(u64),
    #[error("the listing is truncated")]
    CutOff,
    #[error("the response is not a list of blobs")]
    OtherDocument,
    #[error("the listing has elements nested more than {MAX_DEPTH} deep")]
    TooDeep,
    #[error("the listing has a blob without a name")]
    NoName,
    #[error("the listing has a blob without a size")]
    NoSize,
    #[error("the listing has bytes that are not UTF-8, or an unknown entity")]
    Character,
}

/// The elements that are read, each in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Element {
    Document,
    Results,
    Blobs,
    Blob,
    Name { encoded: bool },
    Properties,
    Size,
    Tier,
    ArchiveStatus,
    Etag,
    LastModified,
    NextMarker,
    Other,
}

impl Element {
    fn child(self, start: &BytesStart<'_>) -> Self {
        match (self, start.local_name().as_ref()) {
            (Self::Document, "EnumerationResults") => Self::Results,
            (Self::Results, "Blobs") => Self::Blobs,
            (Self::Results, "NextMarker") => Self::NextMarker,
            (Self::Blobs, "Blob") => Self::Blob,
            (Self::Blob, "Name") => Self::Name {
                encoded: is_encoded(start),
            },
            (Self::Blob, "Properties") => Self::Properties,
            (Self::Properties, "Content-Length") => Self::Size,
            (Self::Properties, "AccessTier") => Self::Tier,
            (Self::Properties, "ArchiveStatus") => Self::ArchiveStatus,
            (Self::Properties, "Etag") => Self::Etag,
            (Self::Properties, "Last-Modified") => Self::LastModified,
            _ => Self::Other,
        }
    }

    fn has_text(self) -> bool {
        matches!(
            self,
            Self::Name { .. }
                | Self::Size
                | Self::Tier
                | Self::ArchiveStatus
                | Self::Etag
                | Self::LastModified
                | Self::NextMarker
        )
    }
}

/// Returns whether a name is percent-encoded, because it has characters that XML does not allow.
fn is_encoded(name: &BytesStart<'_>) -> bool {
    match name.try_get_attribute("Encoded") {
        Ok(Some(encoded)) => encoded.value.as_ref() == "true",
        _ => false,
    }
}

/// Parses a page.
pub(super) fn read_page(xml: &[u8]) -> Result<ListPage, InvalidListing> {
    let xml = std::str::from_utf8(xml).map_err(|_| InvalidListing::Character)?;
    // Azure starts with a byte order mark.
    let xml = xml.strip_prefix('\u{feff}').unwrap_or(xml);
    let mut reader = Reader::from_str(xml);
    reader.config_mut().expand_empty_elements = true;
    let mut parents: Vec<Element> = Vec::new();
    let mut element = Element::Document;
    let mut text = String::new();
    let (mut name, mut size) = (None, None);
    let (mut archived, mut rehydrating) = (false, false);
    let mut version = Version::default();
    let mut has_results = false;
    let mut page = ListPage {
        blobs: Vec::new(),
        next: None,
    };
    loop {
        match reader
            .read_event()
            .map_err(|_| InvalidListing::Xml(reader.error_position()))?
        {
            Event::Start(start) => {
                if parents.len() >= MAX_DEPTH {
                    return Err(InvalidListing::TooDeep);
                }
                parents.push(element);
                element = element.child(&start);
                text.clear();
                match element {
                    Element::Results => has_results = true,
                    Element::Other if parents.len() == 1 => {
                        return Err(InvalidListing::OtherDocument);
                    }
                    Element::Blob => {
                        (name, size) = (None, None);
                        (archived, rehydrating) = (false, false);
                        version = Version::default();
                    }
                    _ => {}
                }
            }
            Event::End(_) => {
                match element {
                    Element::Name { encoded } => {
                        let given = std::mem::take(&mut text);
                        // A name that cannot be decoded is foreign: our names contain no `%`.
                        let decoded = encoded.then(|| percent_decoded(&given)).flatten();
                        name = Some(decoded.unwrap_or(given));
                    }
                    Element::Size => size = text.trim().parse().ok(),
                    Element::Tier => archived = text.trim() == "Archive",
                    // For example rehydrate-pending-to-hot.
                    Element::ArchiveStatus => {
                        rehydrating = text.trim().starts_with("rehydrate-pending");
                    }
                    Element::Etag => version.etag = std::mem::take(&mut text),
                    Element::LastModified => version.modified = std::mem::take(&mut text),
                    Element::NextMarker if !text.is_empty() => {
                        page.next = Some(ListMarker(std::mem::take(&mut text).into_bytes()));
                    }
                    Element::Blob => {
                        let name = name.take().ok_or(InvalidListing::NoName)?;
                        let size = size.take().ok_or(InvalidListing::NoSize)?;
                        let stamp = version.stamp(&name, size);
                        page.blobs.push(BlobEntry {
                            name,
                            size,
                            availability: match (archived, rehydrating) {
                                (true, true) => Availability::Rehydrating,
                                (true, false) => Availability::Archived,
                                (false, _) => Availability::Online,
                            },
                            stamp,
                        });
                    }
                    _ => {}
                }
                // The reader checks that start and end tags match.
                element = parents.pop().ok_or(InvalidListing::CutOff)?;
            }
            Event::Text(piece) if element.has_text() => {
                text.push_str(&piece.xml10_content());
            }
            Event::CData(piece) if element.has_text() => {
                text.push_str(&piece.xml10_content());
            }
            Event::GeneralRef(reference) if element.has_text() => {
                push_character(&reference, &mut text)?
            }
            Event::Eof => break,
            _ => {}
        }
    }
    match (has_results, parents.is_empty()) {
        (true, true) => Ok(page),
        (true, false) => Err(InvalidListing::CutOff),
        (false, _) => Err(InvalidListing::OtherDocument),
    }
}

/// The properties in a listing that identify the version of a blob's content.
#[derive(Default)]
struct Version {
    etag: String,
    modified: String,
}

impl Version {
    /// Returns `None` if the listing has neither ETag nor time.
    fn stamp(&self, name: &str, size: u64) -> Option<Stamp> {
        let etag = self.etag.trim().as_bytes();
        let modified = self.modified.trim().as_bytes();
        match (etag, modified) {
            (b"", b"") => None,
            (b"", modified) => Some(Stamp::of(name, &[&size.to_le_bytes(), modified])),
            (etag, _) => Some(Stamp::of(name, &[etag])),
        }
    }
}

/// Appends a character reference (`&#65;`) or one of XML's five entities (`&amp;`).
fn push_character(reference: &BytesRef<'_>, text: &mut String) -> Result<(), InvalidListing> {
    match reference.resolve_char_ref() {
        Ok(Some(character)) => text.push(character),
        Ok(None) => {
            let entity = resolve_predefined_entity(reference).ok_or(InvalidListing::Character)?;
            text.push_str(entity);
        }
        Err(_) => return Err(InvalidListing::Character),
    }
    Ok(())
}

#[cfg(test)]
#[path = "listing_tests.rs"]
mod tests;
