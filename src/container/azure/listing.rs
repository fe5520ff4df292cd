//! The XML of a page of a listing, as "List Blobs" of Azure's REST documentation describes it.
//!
//! Names are taken as they are, white space included: any program may have made them.

use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesRef, BytesStart, Event};
use thiserror::Error;

use super::super::sas::percent_decoded;
use super::super::{Availability, BlobEntry, ListMarker, ListPage, Stamp};

/// Elements inside each other; the service uses five or six.
const MAX_DEPTH: usize = 32;

/// Why a text is no page of a listing.
#[derive(Debug, Error)]
pub(super) enum InvalidListing {
    /// Only where: what the reader says would repeat foreign text.
    #[error("the listing is no XML at byte {0}")]
    Xml(u64),
    #[error("the listing ends too early")]
    CutOff,
    #[error("the answer is no listing of blobs")]
    OtherDocument,
    #[error("the listing has elements more than {MAX_DEPTH} deep")]
    TooDeep,
    #[error("the listing has a blob without a name")]
    NoName,
    #[error("the listing has a blob without a size")]
    NoSize,
    #[error("the listing has bytes that are no text, or an unknown entity")]
    Character,
}

/// The elements that matter, by where they stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
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

impl Place {
    fn child(self, element: &BytesStart<'_>) -> Self {
        match (self, element.local_name().as_ref()) {
            (Self::Document, "EnumerationResults") => Self::Results,
            (Self::Results, "Blobs") => Self::Blobs,
            (Self::Results, "NextMarker") => Self::NextMarker,
            (Self::Blobs, "Blob") => Self::Blob,
            (Self::Blob, "Name") => Self::Name {
                encoded: is_encoded(element),
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

/// Names with characters that XML cannot hold are percent-encoded.
fn is_encoded(name: &BytesStart<'_>) -> bool {
    match name.try_get_attribute("Encoded") {
        Ok(Some(encoded)) => encoded.value.as_ref() == "true",
        _ => false,
    }
}

/// Reads a page.
pub(super) fn read_page(xml: &[u8]) -> Result<ListPage, InvalidListing> {
    let xml = std::str::from_utf8(xml).map_err(|_| InvalidListing::Character)?;
    // Azure begins with a byte order mark.
    let xml = xml.strip_prefix('\u{feff}').unwrap_or(xml);
    let mut reader = Reader::from_str(xml);
    reader.config_mut().expand_empty_elements = true;
    let mut places: Vec<Place> = Vec::new();
    let mut place = Place::Document;
    let mut text = String::new();
    let (mut name, mut size) = (None, None);
    let (mut archived, mut rehydrating) = (false, false);
    let mut version = Version::default();
    let mut seen = false;
    let mut page = ListPage {
        blobs: Vec::new(),
        next: None,
    };
    loop {
        match reader
            .read_event()
            .map_err(|_| InvalidListing::Xml(reader.error_position()))?
        {
            Event::Start(element) => {
                if places.len() >= MAX_DEPTH {
                    return Err(InvalidListing::TooDeep);
                }
                places.push(place);
                place = place.child(&element);
                text.clear();
                match place {
                    Place::Results => seen = true,
                    Place::Other if places.len() == 1 => return Err(InvalidListing::OtherDocument),
                    Place::Blob => {
                        (name, size) = (None, None);
                        (archived, rehydrating) = (false, false);
                        version = Version::default();
                    }
                    _ => {}
                }
            }
            Event::End(_) => {
                match place {
                    Place::Name { encoded } => {
                        let given = std::mem::take(&mut text);
                        // What does not decode is no name of ours: they have no `%`.
                        let decoded = encoded.then(|| percent_decoded(&given)).flatten();
                        name = Some(decoded.unwrap_or(given));
                    }
                    Place::Size => size = text.trim().parse().ok(),
                    Place::Tier => archived = text.trim() == "Archive",
                    // rehydrate-pending-to-hot and the like.
                    Place::ArchiveStatus => {
                        rehydrating = text.trim().starts_with("rehydrate-pending");
                    }
                    Place::Etag => version.etag = std::mem::take(&mut text),
                    Place::LastModified => version.modified = std::mem::take(&mut text),
                    Place::NextMarker if !text.is_empty() => {
                        page.next = Some(ListMarker(std::mem::take(&mut text).into_bytes()));
                    }
                    Place::Blob => {
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
                // The reader has checked that each end has its start.
                place = places.pop().ok_or(InvalidListing::CutOff)?;
            }
            Event::Text(piece) if place.has_text() => {
                text.push_str(&piece.xml10_content());
            }
            Event::CData(piece) if place.has_text() => {
                text.push_str(&piece.xml10_content());
            }
            Event::GeneralRef(reference) if place.has_text() => {
                push_character(&reference, &mut text)?
            }
            Event::Eof => break,
            _ => {}
        }
    }
    match (seen, places.is_empty()) {
        (true, true) => Ok(page),
        (true, false) => Err(InvalidListing::CutOff),
        (false, _) => Err(InvalidListing::OtherDocument),
    }
}

/// What a listing says about the version of a blob's content.
#[derive(Default)]
struct Version {
    etag: String,
    modified: String,
}

impl Version {
    /// None when the service shows neither ETag nor time.
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

/// A character's number (`&#65;`) or one of XML's five entities (`&amp;`).
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
