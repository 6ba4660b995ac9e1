//! CAFE's files of collections and groups.

use ca_kit::{CafeSnapshot, Collections, GroupFileError, Groups};

const COLLECTIONS: &str = r#"<?xml version="1.0"?>
<cafe:config xmlns:cafe="https://cafe.web.psi.ch">
  <cafe:collection id="cQuads">
    <cafe:description> the quadrupoles &amp; more </cafe:description>
    <cafe:attributes><cafe:attribute>I-SET</cafe:attribute><cafe:attribute>I-READ</cafe:attribute></cafe:attributes>
    <cafe:member pos="12.5"><cafe:device> Q2 </cafe:device></cafe:member>
    <cafe:member pos="3.25"><cafe:device>Q1</cafe:device></cafe:member>
  </cafe:collection>
</cafe:config>
"#;

const GROUPS: &str = r#"<config>
  <group id="gQuads">
    <description>all of them</description>
    <member><name> motor </name></member>
    <collection><id>cQuads</id><attribute>I-SET</attribute></collection>
  </group>
  <!-- each attribute that there is -->
  <Group ID="gAll"><Collection><id>cQuads</id></Collection></Group>
  <group id="gSaved"><member><name>wave</name><nelem>3</nelem><val> 7 8 9 </val><settable>true</settable></member></group>
</config>
"#;

fn members(groups: &Groups, group: &str) -> Vec<String> {
    let members = groups.get(group).unwrap().members().iter();
    members.map(|member| member.pv.clone()).collect()
}

#[test]
fn collections_are_expanded_in_the_order_of_the_file() {
    let collections = Collections::from_cafe("c.xml", COLLECTIONS).unwrap();
    let quads = collections.get("cQuads").unwrap();
    assert_eq!(quads.description, "the quadrupoles & more");
    assert_eq!(
        quads.devices,
        [("Q2".to_owned(), 12.5), ("Q1".to_owned(), 3.25)]
    );
    let groups = Groups::from_cafe("g.xml", GROUPS, &collections).unwrap();
    assert_eq!(
        members(&groups, "gQuads"),
        ["motor", "Q2:I-SET", "Q1:I-SET"]
    );
    let all = ["Q2:I-SET", "Q1:I-SET", "Q2:I-READ", "Q1:I-READ"];
    assert_eq!(members(&groups, "gAll"), all);
    assert_eq!(members(&groups, "gSaved"), ["wave"]);
    let dots = collections.delimiter(".");
    let groups = Groups::from_cafe("g.xml", GROUPS, &dots).unwrap();
    assert_eq!(members(&groups, "gQuads")[1], "Q2.I-SET");
}

#[test]
fn all_mistakes_of_a_file_are_told_with_their_place() {
    let collections = Collections::from_cafe("c.xml", COLLECTIONS).unwrap();
    let text = r#"<config>
  <group id="a"><member><nam>motor</nam></member></group>
  <group name="b"><member><name>x</name></member></group>
  <group id="c"><collection><id>cQuad</id><attribute>I-SET</attribute></collection></group>
  <group id="c"><member><name>y</name></member></group>
  <group id="d"><collection><id>cQuads</id><attribute>I-SETT</attribute></collection></group>
  <group id="e"></group>
  <group id="f"><member><name>m</name></member><member><name>m</name></member></group>
</config>
"#;
    let mistakes = Groups::from_cafe("g.xml", text, &collections).unwrap_err();
    let told: Vec<(usize, &str, &str)> = mistakes
        .iter()
        .map(|it| (it.line, it.message.as_str(), it.remedy.as_str()))
        .collect();
    let expected = [
        (2, "a <member> without a name", "write <name>PV</name>"),
        (2, "<nam> in <member>", "did you mean \"name\"?"),
        (3, "<group> has no attribute `name`", "it has id"),
        (3, "<group> has no name", "write <group id=\"…\">"),
        (
            4,
            "there is no collection \"cQuad\"",
            "did you mean \"cQuads\"?",
        ),
        (5, "\"c\" is there already", "give it another name"),
        (
            6,
            "\"cQuads\" has no attribute \"I-SETT\"",
            "did you mean \"I-SET\"?",
        ),
        (
            7,
            "the group \"e\" has no members",
            "give it <member> with <name>, or <collection> with <id>",
        ),
        (
            8,
            "group \"f\" has two members \"m\"",
            "leave one out, or give it another name",
        ),
    ];
    assert_eq!(told, expected);
    let shown = mistakes.to_string();
    assert!(shown.contains("--> g.xml:4:29"), "{shown}");
    assert!(shown.contains("<id>cQuad</id>"), "{shown}");
}

#[test]
fn what_is_no_such_file_is_told_where_it_ceases_to_be_one() {
    let deep = format!("<config><collection id='a'>{}", "<x>".repeat(40));
    for (text, line, part) in [
        ("", 1, "there is no element in it"),
        (
            "\n<config>\n<collection id='a'>",
            3,
            "<collection> is not closed",
        ),
        (
            "<config>\n <collection id='a'></group></config>",
            2,
            "no XML",
        ),
        (
            "<!DOCTYPE x [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;'>]><config>&b;</config>",
            1,
            "a document type",
        ),
        (&deep, 1, "elements within each other"),
        ("<settings/>", 1, "<settings> at the beginning"),
        ("\u{0}\u{1}", 1, "no XML"),
        ("<config/><config/>", 1, "behind the end"),
        ("<config><collection id='c'/></config>", 1, "has no members"),
        (
            "<config>\n<collection id='c'><member><device>&nbsp;</device></member></collection></config>",
            2,
            "entity",
        ),
        (
            "<config><collection id='c'>\n<member pos='far'><device>Q</device></member></collection></config>",
            2,
            "the position \"far\" of \"Q\" is no number",
        ),
        (
            "<config><collection id='c' id='d'/></config>",
            1,
            "<collection>",
        ),
    ] {
        let mistakes = Collections::from_cafe("bad.xml", text).unwrap_err();
        let found = mistakes
            .iter()
            .any(|it| it.line == line && it.message.contains(part));
        assert!(found, "{text:?}: {mistakes}");
        assert!(mistakes.to_string().contains("bad.xml:"), "{mistakes}");
    }
}

/// A file cut off anywhere is a file with mistakes, or one without, and nothing else.
#[test]
fn any_beginning_of_a_file_is_read() {
    for end in 0..COLLECTIONS.len() {
        let Some(text) = COLLECTIONS.get(..end) else {
            continue;
        };
        let read = Collections::from_cafe("c.xml", text);
        assert!(read.is_err() || end + 2 > COLLECTIONS.len(), "{end}");
        let _ = read.map_err(|mistakes| mistakes.to_string());
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = Collections::load_cafe("/nowhere/c.xml").unwrap_err();
    assert!(matches!(error, GroupFileError::Read { .. }));
    assert!(error.to_string().contains("/nowhere/c.xml"), "{error}");
    assert!(Groups::load_cafe("/nowhere/g.xml", &Collections::new()).is_err());
}

#[test]
fn snapshots_have_what_may_be_written_back() {
    let text = r#"<cafe:config><cafe:group id="all">
        <cafe:npv>4</cafe:npv>
        <cafe:member><cafe:name> motor </cafe:name><cafe:val> 1.5 </cafe:val></cafe:member>
        <cafe:member><cafe:name>wave</cafe:name><cafe:nelem> 3 </cafe:nelem><cafe:val> 7 8 9 </cafe:val>
          <cafe:settable> true </cafe:settable></cafe:member>
        <cafe:member><cafe:name>names</cafe:name><cafe:nelem>2</cafe:nelem><cafe:val>a b</cafe:val><cafe:val>c</cafe:val></cafe:member>
        <cafe:member><cafe:name>read</cafe:name><cafe:val>2</cafe:val><cafe:settable>false</cafe:settable></cafe:member>
        </cafe:group></cafe:config>"#;
    let snapshot = CafeSnapshot::from_cafe("s.xml", text).unwrap();
    let (name, values) = &snapshot.groups[0];
    let seen = values
        .iter()
        .map(|it| (it.pv.as_str(), it.values.join("|"), it.is_array));
    let seen: Vec<_> = seen.collect();
    let wanted = [
        ("motor", "1.5".to_owned(), false),
        ("wave", "7|8|9".to_owned(), true),
        ("names", "a b|c".to_owned(), true),
    ];
    assert_eq!((name.as_str(), seen.as_slice()), ("all", &wanted[..]));

    let wrong = text
        .replace(" 7 8 9 ", " 7 8 ")
        .replace("<cafe:nelem>2<", "<cafe:nelem>two<")
        .replace("<cafe:val> 1.5 </cafe:val>", "");
    let told = CafeSnapshot::from_cafe("s.xml", &wrong)
        .unwrap_err()
        .to_string();
    for part in [
        "a <member> without a name or a value",
        "2 values, and <nelem> says 3",
        "<nelem> of \"two\" is no count",
    ] {
        assert!(told.contains(part), "{told}");
    }
}

#[test]
fn what_has_no_name_is_looked_at_all_the_same() {
    let text = r#"<config><group><member></member></group><group id="a"><member><name>x</name></member></group>
        <group id="a"><collection><id>none</id></collection></group></config>"#;
    let told = Groups::from_cafe("g.xml", text, &Collections::new()).unwrap_err();
    let told: Vec<_> = told.iter().map(|it| it.message.as_str()).collect();
    let wanted = [
        "<group> has no name",
        "a <member> without a name",
        "\"a\" is there already",
        "there is no collection \"none\"",
    ];
    assert_eq!(told, wanted);
}
