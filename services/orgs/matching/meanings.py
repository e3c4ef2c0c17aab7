"""Words of organizations' names that mean the same in several languages, or abbreviated. Data.

A meaning ends with a semicolon; its words are in the script and with the accents in which they are
written. Words for a kind of organization, a field, a nation or a town are here, which people
translate or abbreviate when they write a name down. Proper names other than towns are not.
Rule: words fold as names do, an umlaut also to its two letters; no word is in two rows.
"""

# ruff: noqa: RUF001  words are in the script in which they are written

from functools import cache

from services.orgs.matching import words

_TWO_LETTERS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe"})

_KINDS = """
university universität universite université universidad universitat universita università
universidade universiteit universitet universitetet uniwersytet univerzita univerzitet univerza
üniversitesi yliopisto egyetem университет університет πανεπιστημιο univ uni جامعة دانشگاه
אוניברסיטת უნივერსიტეტი համալսարան universitas universiteti universitatea университета
університету;
college collège colegio colégio collegio колледж коледж koleji;
school schule école escuela scuola escola skola skole szkoła škola okulu школа schools schola
základní základná szkół школы مدرسة σχολειο სკოლა;
institute institut instituto istituto instytut instituut institutet enstitüsü институт inst;
academy akademie académie academia accademia akademia akademi академия acad;
faculty fakultät faculté facultad facoltà;
polytechnic polytechnique politécnica politécnico politecnico politechnika politehnica politeknik
политехника політехніка;
hospital krankenhaus klinikum hôpital ospedale szpital ziekenhuis sykehus sygehus sairaala
hastanesi nemocnice bolnica больница hosp spital مستشفى بیمارستان νοσοκομειο лікарня;
clinic klinik clinique clínica clinica kliniek klinika клиника;
pharmacy apotheke pharmacie farmacia farmácia apotheek apotek apteka eczanesi аптека аптеки صيدلية
φαρμακειο აფთიაქი;
ministry ministerium ministère ministerio ministério ministero ministerie ministerstwo ministerstvo
bakanlığı министерство міністерство وزارة υπουργειο სამინისტრო;
department dept dep département departamento dipartimento dpt;
agency agentur agence agencia agência agenzia agentschap agencja ajansı агентство агенция;
authority behörde autorité autoridad autorità;
commission kommission comisión commissione comissão commissie komisja комиссия;
committee komitee comité comitato comitê комитет;
council rat conseil consejo consiglio conselho raad rada совет;
parliament parlament parlement parlamento парламент;
court gericht tribunal tribunale corte cour;
office büro bureau oficina ufficio kontor;
city stadt ville ciudad città cidade gemeente miasto město stad город comune ayuntamiento mairie
municipality municipio gemeinde kommune kommun commune town stadtverwaltung landeshauptstadt
município gmina verbandsgemeinde village;
county landkreis kreis comté condado contea;
canton kanton cantón cantone;
state staat état estado stato государственный государственная державний davlat státní;
church kirche église iglesia chiesa igreja kerk kościół kirke kyrka церковь;
museum musée museo museu muzeum музей;
library bibliothek bibliothèque biblioteca bibliotheek biblioteka библиотека;
theatre theater théâtre teatro teatr teater театр;
association verein verband vereinigung asociación associação associazione vereniging stowarzyszenie
ассоциация assoc assn egyesület;
society gesellschaft société sociedad società sociedade maatschappij общество soc spolek;
foundation stiftung fondation fundación fundação fondazione stichting fundacja;
federation föderation bund fédération federación federazione federacja федерация;
union unión unione união союз;
club клуб;
company compagnie compañía companhia compagnia firma компания شركة شرکت εταιρεια კომპანია;
group gruppe groupe grupo gruppo groep grupa группа grp مجموعة ομιλος;
bank banque banco banca bankası banka pankki банк bancă banku bankı بنك مصرف بانک بینک ব্যাংক בנק
ბანკი ბანკ բանկ बैंक τραπεζα;
savings sparkasse épargne ahorros risparmio spk;
insurance versicherung versicherungen assurance assurances seguros assicurazioni verzekeringen
ubezpieczenia sigorta страхование تأمين للتأمين ασφαλιστικη;
fund fonds fondo fundo fond;
factory fabrik fabrique fábrica fabbrica fabriek fabryka fabrika завод;
works werke werk;
brothers gebrüder frères hermanos fratelli irmãos bros gebr;
sons söhne fils hijos figli filhos synowie;
partners partner socios soci;
associates associés asociados associati;
lawyers rechtsanwälte anwälte anwaltskanzlei rechtsanwaltskanzlei rechtsanwalt anwalt attorneys
attorney solicitors avocats avocat abogados abogado avvocati avvocato advocaten advocaat advokat
advokater advogados adwokaci kanzlei lawyer rae avv bufete adwokat adwokacka kancelaria;
notary notar notare notaire notaires notario notaio notaris;
tax steuer steuerberater steuerberaterin steuerberatung steuerkanzlei;
consulting beratung conseils consultoría consulenza consultoria consultants consultancy;
hotel hôtel hotels فندق ξενοδοχειο სასტუმრო гостиница;
restaurant ristorante restaurante gaststätte restaurang ravintola restoran ресторан مطعم
εστιατοριο;
inn gasthof gasthaus auberge landgasthof wirtshaus;
cafe café caffè kaffee kaffeehaus кафе;
bakery bäckerei boulangerie panadería panificio padaria bakkerij piekarnia fırın baker bakers;
butcher metzgerei fleischerei boucherie carnicería macelleria butchers;
shop laden boutique tienda negozio loja winkel sklep магазин store;
market markt marché mercado mercato;
book buch libro books bookshop bookstore buchhandlung librairie librería libreria;
hairdresser friseur frisör coiffeur peluquería parrucchiere;
garage werkstatt autohaus taller officina;
centre center zentrum centro centrum центр ctr cntr;
gymnasium gimnazjum gymnázium gimnazija gimnázium lyceum lycée liceo liceum гимназия гімназія лицей
ліцей highschool liceul;
kindergarten kita kindertagesstätte guardería asilo przedszkole;
secondary sekundar secondaire secundaria secondaria sekundarschule;
primary grundschule primaire primaria elementary élémentaire;
higher superior supérieur supérieure superiore hochschule wyższa высшая;
vocational berufsschule professionnel profesional professionale;
campus kampus кампус;
district distrito distretto bezirk район raion okręg;
region région región regional régional régionale regionale;
province provincia província provinz provincie;
police polizei policía polizia politie polícia policija policja полиция поліція;
fire feuerwehr pompiers bomberos brandweer;
rescue rettungsdienst secours;
municipal municipale städtische städtischer městská miejski городской;
secretariat secretaria secretaría sekretariat;
prefecture préfecture prefeitura prefectura;
administration verwaltung administración amministrazione administração администрация;
board junta;
trust trusts;
practice praxis arztpraxis hausarztpraxis gemeinschaftspraxis praktijk huisartsenpraktijk cabinet
gabinet кабинет;
doctor dr docteur dottore dott doktor dres доктор;
physician arzt ärzte ärztin facharzt médecin huisarts lekarz;
dental dentist zahnarzt zahnärzte zahnarztpraxis dentaire dentistico odontólogo dentista
stomatologia stomatologiczny tandarts tandartspraktijk стоматология;
studio studios studija студия;
airlines airline airways aerolíneas linhas авиакомпания havayolları fluggesellschaft;
air aérea aéreas aérienne;
aviation aviación aviazione avia авиация;
airport flughafen aeropuerto aéroport aeroporto аэропорт;
railway railways bahn eisenbahn ferrovie ferrocarril železnice;
pizzeria pizza;
trattoria trattorie;
osteria osterie;
bistro bistrot;
bar bars;
grill grille гриль;
pub pubs;
brewery brauerei brasserie cervecería browar;
saint st sankt santa santo san sainte sint ste;
"""
_FIELDS = """
technology technologie technologies tecnología tecnologia technologii технология tech;
technical technische technisch technique técnica técnico tecnica techniczna техническая технический
технічний teknik technological tecnológico tecnológica tecnologico;
science wissenschaft wissenschaften sciences ciencia ciencias scienza scienze nauk наук;
research forschung recherche investigación ricerca pesquisa onderzoek badania;
education bildung éducation educación educação istruzione onderwijs edukacja erziehung;
medical medizin medizinische médical médica médico medica medisch medyczny med;
health gesundheit santé salud salute saúde gezondheid zdrowia hlth;
care pflege soins;
finance finanzen finances finanzas finanze finanças financiën;
economics wirtschaft économie economía economia;
justice justiz justicia giustizia justiça justitie;
interior innern intérieur interno;
music musik musique música musica;
culture kultur cultura cultuur;
transport verkehr transports transporte trasporti vervoer;
environment umwelt environnement ambiente;
labour labor arbeit travail trabajo lavoro arbeid;
defence defense verteidigung défense defensa difesa;
statistics statistik statistique estadística statistica;
agriculture landwirtschaft agricultura agricoltura;
energy energie énergie energía energia energi enerji энергия;
electric elektro électrique eléctrica elettrica electrical elektrik;
water wasser eau agua acqua água;
gas gaz газ;
oil pétrole petróleo petrolio нефть;
steel stahl acier acero acciaio сталь;
wood holz bois madera legno;
metal metall métal metallbau;
construction bau bâtiment construcción costruzioni construcciones bouw budowa inşaat;
engineering ingénierie ingeniería ingegneria maschinenbau;
industry industrie industria indústria przemysł sanayi промышленность industries ind;
trade trading handel commerce comercio commercio ticaret торговля;
service dienst dienste servicio servicios servizi serviços services diensten;
software sw;
systems systeme systèmes sistemas sistemi;
communication kommunikation communications comunicación comunicazione;
travel reisen voyages viajes viaggi;
food lebensmittel alimentos alimentari foods;
home haus maison casa;
garden garten jardin jardín giardino gardens;
flowers blumen blumenhaus fleurs flores fiori florist;
optics optik optique óptica ottica optiker optician opticians;
bicycle fahrrad zweirad vélo bicicletas cycles;
law recht droit derecho diritto legale legal;
applied angewandte appliquées aplicadas applicate;
free freie frei libre libera vrije livre;
autonomous autónoma autònoma autonoma;
royal königlich königliche royale koninklijke królewski;
national nationale nacional nazionale narodowy nationaal nat natl национальный وطني الوطني الوطنية
εθνικη;
international internationale internacional internazionale międzynarodowy internationaler
международный intl int الدولي الدولية διεθνης;
federal bundes fédéral fédérale federale;
central zentral centrale zentrale centralny hauptamt;
general général générale generale allgemeine gen;
public öffentlich publique público pubblico;
world welt mondiale mundial mondial monde mundo mondo wereld;
united vereinte vereinigte unies unidas unite unidos;
nations nationen naciones nazioni;
north nord norte noord północ;
south süd sud sur sul zuid;
east ost est este oost;
west ouest oeste ovest;
new neu neue nouveau nouvelle nuevo nueva nuovo nuova;
red rotes rot rouge rojo rossa;
cross kreuz croix croce cruz;
first erste 1st;
second zweite deuxième 2nd;
third dritte troisième 3rd;
street straße strasse rue calle ulica str;
road rd;
avenue ave av avenida;
square sq;
"""
_NATIONS = """
germany deutschland allemagne alemania germania duitsland niemcy almanya германия;
german deutsche deutsch deutscher deutsches allemand allemande dt;
france frankreich francia frankrijk francja frança;
french français française französische francés francese;
italy italien italie italia italië włochy itália;
spain spanien espagne españa spagna spanje hiszpania espanha;
switzerland schweiz suisse suiza svizzera zwitserland szwajcaria;
swiss schweizerische schweizer schweizerisches;
austria österreich autriche oostenrijk avusturya;
austrian österreichische österreichischer autrichienne;
netherlands nederland niederlande holland;
poland polen pologne polska polonia;
europe europa европа;
european europäische europäischer europäisches européen européenne européennes europeo europea
europejski eur;
america amerika amérique américa;
american amerikanische américaine americana americano amer;
british britische britannique britanico;
england angleterre inglaterra;
russia russland russie rusia россия;
china chine cina китай;
japan japon japón giappone япония;
turkey türkei turquie türkiye;
brazil brasil brasilien brésil brasile;
sweden schweden suède sverige suecia;
norway norwegen norvège norge;
denmark dänemark danemark danmark;
finland finnland finlande suomi;
belgium belgien belgique belgië bélgica;
greece griechenland grèce grecia ελλαδα;
hungary ungarn hongrie magyarország;
"""
_TOWNS = """
munich münchen;
cologne köln;
vienna wien vienne;
nuremberg nürnberg;
hanover hannover;
brunswick braunschweig;
geneva genève genf ginevra;
zurich zürich zurigo;
basel bâle basle basilea;
bern berne berna;
lucerne luzern;
milan milano mailand;
turin torino;
rome roma rom;
florence firenze florenz;
naples napoli neapel;
venice venezia venedig venise;
genoa genova genua;
seville sevilla;
lisbon lisboa lissabon lisbonne;
brussels bruxelles brüssel brussel;
antwerp antwerpen anvers;
ghent gent gand;
hague haag haye;
prague praha prag;
warsaw warszawa warschau varsovie warszawski warszawska;
cracow kraków krakau krakowie;
wroclaw wrocław breslau;
gdansk gdańsk danzig;
moscow москва moskau moscou;
petersburg петербург;
kyiv київ kiev kiew;
athens αθηνα athen athènes atene;
copenhagen københavn kopenhagen;
gothenburg göteborg;
bucharest bucurești bukarest;
belgrade beograd belgrad;
cairo القاهرة kairo;
beijing 北京 peking;
tokyo 東京;
"""


def are_one(one: str, other: str) -> bool:
    """Whether two words, as names fold them, mean the same."""
    meanings = known()
    meaning = meanings.get(one)
    return meaning is not None and meaning == meanings.get(other)


def in_one_language(word: str) -> str:
    """The first of the words that mean the same as this one; itself, if it is not listed."""
    return _firsts().get(word, word)


@cache
def _firsts() -> dict[str, str]:
    firsts = [words.split(row)[0] for row in rows()]
    return {word: firsts[meaning] for word, meaning in known().items()}


def rows() -> list[str]:
    return f"{_KINDS}{_FIELDS}{_NATIONS}{_TOWNS}".strip().removesuffix(";").split(";")


@cache
def of_kinds() -> frozenset[str]:
    """What names a kind of organization, in one language."""
    return frozenset(words.split(row)[0] for row in _KINDS.strip().removesuffix(";").split(";"))


@cache
def known() -> dict[str, int]:
    """The number of its meaning, by the word as names fold it."""
    found: dict[str, int] = {}
    for number, row in enumerate(rows()):
        found |= dict.fromkeys(words.split(f"{row} {row.translate(_TWO_LETTERS)}"), number)
    return found
