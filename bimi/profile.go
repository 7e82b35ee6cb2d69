package bimi

import "strings"

// The profile SVG Tiny Portable/Secure (draft-svg-tiny-ps-abrotman, appendix:
// the schema): which elements stand in which, with which attributes and
// values. What is not listed is not allowed, so that no script, animation,
// picture, style sheet or link gets in.

// element is what the profile says of one kind of element.
type element struct {
	children   map[string]bool
	attributes map[string]values
	text       bool // holds text, and no elements
}

// values are the allowed values of an attribute; nil for any.
type values []string

const (
	core        = "id xml:id xml:base xml:lang class role rel rev typeof content datatype resource about property xml:space=default|preserve"
	conditional = "requiredFonts systemLanguage"
	placed      = core + " transform " + conditional
	painted     = "fill-opacity stroke-opacity fill fill-rule=inherit|nonzero|evenodd stroke stroke-dasharray stroke-dashoffset" +
		" stroke-linecap=butt|round|square|inherit stroke-linejoin=miter|round|bevel|inherit stroke-miterlimit stroke-width" +
		" color color-rendering=auto|optimizeSpeed|optimizeQuality|inherit vector-effect=none|non-scaling-stroke|inherit" +
		" direction=ltr|rtl|inherit unicode-bidi=normal|embed|bidi-override|inherit solid-color solid-opacity" +
		" display-align=auto|before|center|after|inherit line-increment stop-color stop-opacity font-family font-size" +
		" font-style=normal|italic|oblique|inherit font-variant=normal|small-caps|inherit" +
		" text-anchor=start|middle|end|inherit text-align=start|center|end|inherit"
	weighed  = painted + " font-weight=normal|bold|bolder|lighter|inherit"
	rendered = "display=inline|block|list-item|run-in|compact|marker|table|inline-table|table-row-group|table-header-group|table-footer-group|" +
		"table-row|table-column-group|table-column|table-cell|table-caption|none|inherit visibility=visible|hidden|collapse|inherit" +
		" image-rendering=auto|optimizeSpeed|optimizeQuality|inherit shape-rendering=auto|optimizeSpeed|crispEdges|geometricPrecision|inherit" +
		" text-rendering=auto|optimizeSpeed|optimizeLegibility|geometricPrecision|inherit buffered-rendering=auto|dynamic|static|inherit" +
		" viewport-fill viewport-fill-opacity"
	drawn = "path rect circle line ellipse polyline polygon solidColor textArea linearGradient radialGradient text g defs use"
	shape = placed + " " + weighed
)

// elements is the profile, by the name of the element.
var elements = map[string]*element{
	"svg": holds("title desc metadata "+drawn, core+" "+painted+" font-weight=normal|bold|bolder|lighter width height viewBox baseProfile=tiny-ps version=1.2"+
		" contentScriptType externalResourcesRequired=false focusable=false playbackOrder=all preserveAspectRatio snapshotTime=none"+
		" timelineBegin=onLoad zoomAndPan=disable"),
	"title":          says(core + " " + conditional + " " + rendered),
	"desc":           says(core + " " + conditional + " " + rendered),
	"metadata":       says(""),
	"text":           says(shape + " x y rotate editable=none"),
	"textArea":       says(shape + " x y width height"),
	"g":              holds(drawn, shape),
	"defs":           holds(drawn, core+" "+weighed),
	"use":            holds("", shape+" href xlink:href x y"),
	"path":           holds("", shape+" d pathLength"),
	"rect":           holds("", shape+" x y width height rx ry"),
	"circle":         holds("", shape+" cx cy r"),
	"ellipse":        holds("", shape+" cx cy rx ry"),
	"line":           holds("", shape+" x1 y1 x2 y2"),
	"polyline":       holds("", shape+" points"),
	"polygon":        holds("", shape+" points"),
	"solidColor":     holds("", core+" "+weighed),
	"stop":           holds("", core+" "+weighed+" offset"),
	"linearGradient": holds("stop", core+" "+weighed+" gradientUnits=userSpaceOnUse|objectBoundingBox x1 y1 x2 y2"),
	"radialGradient": holds("stop", core+" "+weighed+" gradientUnits=userSpaceOnUse|objectBoundingBox cx cy r"),
}

func holds(children, attributes string) *element {
	e := &element{children: map[string]bool{}, attributes: map[string]values{}}
	for _, c := range strings.Fields(children) {
		e.children[c] = true
	}
	for _, a := range strings.Fields(attributes) {
		name, list, some := strings.Cut(a, "=")
		e.attributes[name] = nil
		if some {
			e.attributes[name] = strings.Split(list, "|")
		}
	}
	return e
}

func says(attributes string) *element {
	e := holds("", attributes)
	e.text = true
	return e
}
