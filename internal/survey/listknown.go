package survey

// freeMail are domains that give mailboxes to anybody: an address there says
// nothing about the domain of an organisation. Providers' mailboxes that small
// Japanese organisations use are among them.
var freeMail = set(
	"gmail.com", "googlemail.com", "yahoo.co.jp", "ymail.ne.jp", "yahoo.ne.jp", "yahoo.com", "ymail.com", "rocketmail.com",
	"outlook.com", "outlook.jp", "hotmail.com", "hotmail.co.jp", "live.jp", "live.com", "msn.com",
	"icloud.com", "me.com", "mac.com", "aol.com", "aol.jp", "gmx.com", "gmx.net", "mail.com", "proton.me", "protonmail.com", "zoho.com",
	"qq.com", "163.com", "126.com", "naver.com", "daum.net", "hanmail.net", "mail.ru", "yandex.ru", "yandex.com",
	"docomo.ne.jp", "ezweb.ne.jp", "au.com", "softbank.ne.jp", "i.softbank.jp", "disney.ne.jp", "willcom.com", "ymobile.ne.jp", "uqmobile.jp", "rakuten.jp",
	"nifty.com", "nifty.ne.jp", "biglobe.ne.jp", "so-net.ne.jp", "ocn.ne.jp", "plala.or.jp", "dion.ne.jp", "odn.ne.jp", "hi-ho.ne.jp", "asahi-net.or.jp",
	"excite.co.jp", "goo.jp", "mail.goo.ne.jp", "infoseek.jp", "jcom.home.ne.jp", "jcom.zaq.ne.jp", "eonet.ne.jp", "kcn.jp", "wakwak.com", "sannet.ne.jp",
)

// sharedSites are places on the web where anybody may have a page: a URL there
// says nothing about the domain of an organisation. Those below which each has
// a name of its own are in the public suffix list already.
var sharedSites = set(
	"facebook.com", "fb.com", "twitter.com", "x.com", "instagram.com", "threads.net", "threads.com", "youtube.com", "youtu.be", "tiktok.com", "linkedin.com", "line.me", "lin.ee",
	"google.com", "goo.gl", "bit.ly", "linktr.ee", "lit.link", "note.com", "note.mu", "ameblo.jp", "ameba.jp", "wordpress.com", "wix.com", "jimdo.com", "strikingly.com",
	"peraichi.com", "geocities.jp", "wikipedia.org", "rakuten.co.jp", "amazon.co.jp", "yahoo.co.jp", "mixi.jp", "livedoor.jp", "exblog.jp", "seesaa.net", "cocolog-nifty.com",
	"github.com", "notion.site", "studio.site", "base.shop", "thebase.in", "stores.jp", "coubic.com",
)

func set(names ...string) map[string]bool {
	m := make(map[string]bool, len(names))
	for _, n := range names {
		m[n] = true
	}
	return m
}

// headers are the words that head a column of a role, as bare makes them.
var headers = map[Role]map[string]bool{
	RoleSubdomain: set("送信元サブドメイン", "送信サブドメイン", "メール送信元サブドメイン", "メール送信サブドメイン", "サブドメイン", "送信元ドメイン", "送信ドメイン", "メール送信元ドメイン", "メール送信ドメイン", "送信元メールドメイン",
		"subdomain", "sendingsubdomain", "sendersubdomain", "mailsubdomain", "sendingdomain", "senderdomain", "fromdomain"),
	RoleDomain: set("ドメイン", "ドメイン名", "メールドメイン", "メールドメイン名", "メールアドレスドメイン", "電子メールドメイン", "組織ドメイン", "独自ドメイン", "公式ドメイン",
		"domain", "domains", "domainname", "maildomain", "emaildomain", "primarydomain", "fqdn"),
	RoleMail: set("メール", "メールアドレス", "eメール", "eメールアドレス", "電子メール", "電子メールアドレス", "代表メールアドレス", "代表メール", "連絡先メールアドレス", "問い合わせメールアドレス", "問合せメールアドレス", "お問い合わせメールアドレス",
		"送信元メールアドレス", "送信元アドレス", "差出人", "差出人アドレス", "mail", "email", "mailaddress", "emailaddress", "from", "fromaddress", "contactemail", "contact", "連絡先"),
	RoleURL: set("url", "urls", "uri", "ホームページ", "ホームページurl", "ホームページアドレス", "hp", "hpurl", "hpアドレス", "サイト", "サイトurl", "webサイト", "webサイトurl", "ウェブサイト", "ウェブサイトurl", "ウェブページ", "web", "webページ", "weburl",
		"公式サイト", "公式ホームページ", "公式hp", "公式url", "公式サイトurl", "公式webサイト", "公式ウェブサイト", "リンク", "website", "websiteurl", "homepage", "homepageurl", "site", "siteurl", "webpage", "link", "officialsite", "officialwebsite"),
	RoleSelector: set("セレクタ", "セレクター", "dkimセレクタ", "dkimセレクター", "selector", "selectors", "dkimselector", "dkimselectors"),
	RoleName: set("団体名", "団体名称", "組織名", "組織名称", "自治体名", "自治体", "地方公共団体名", "市区町村名", "市町村名", "都道府県市区町村名", "会社名", "企業名", "法人名", "商号", "商号又は名称", "機関名", "金融機関名", "府省庁名", "省庁名",
		"学校名", "大学名", "病院名", "銀行名", "事業者名", "事業者", "名称", "名前", "団体", "組織", "会社", "企業", "施設名",
		"name", "organization", "organisation", "organizationname", "organisationname", "orgname", "org", "company", "companyname", "institution", "institutionname", "agency", "agencyname", "entity", "municipalityname"),
	RoleIgnore: {},
}

// weakNames head a column of names where no column has a better header and
// nearly every value is another.
var weakNames = []string{"市区町村", "市町村", "city", "municipality", "都道府県名", "都道府県", "pref", "prefecture", "title", "タイトル"}

// parts are words within a header that make a role likely, the likeliest
// first: the cells have to bear it out.
var parts = []struct {
	word string
	role Role
}{
	{"サブドメイン", RoleSubdomain}, {"subdomain", RoleSubdomain}, {"ドメイン", RoleDomain}, {"domain", RoleDomain},
	{"メール", RoleMail}, {"mail", RoleMail}, {"url", RoleURL}, {"ホームページ", RoleURL}, {"サイト", RoleURL}, {"web", RoleURL}, {"ウェブ", RoleURL},
	{"homepage", RoleURL}, {"セレクタ", RoleSelector}, {"selector", RoleSelector},
}
