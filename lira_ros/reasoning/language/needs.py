"""What a person needs, by the words of a statement: "my feet hurt" means something to sit on."""

from __future__ import annotations

import re
from functools import lru_cache

# Affordance -> words and phrases that ask for it. A word matches its inflections when it ends in "*".
_NEEDS: dict[str, str] = {
    "sit": (
        "sit*|seat*|take a load off|feet hurt|legs hurt|legs are tired|feet are tired|"
        "standing all day|to stand|stand around|knees hurt|tired of standing|stand any longer|"
        "rest my legs|rest my feet|have a rest|seating|read* comfortably|been standing"
    ),
    "relax": "relax*|unwind|chill|cozy|cosy",
    "lie": ("lie down|lying down|lay down|stretch out|recline|lie on|nap|feel faint|feel dizzy|to lie|lying"),
    "sleep": "sleep*|nap|bedtime|go to bed|spend the night|overnight|fall asleep|rest at night",
    "feet": "put my feet up|feet up|rest my feet",
    "put": (
        "put my|put the|put this|put a|put down|put it|set down|set my|place my|place the|place a|"
        "lay my|somewhere for my|leave my|leave this|set this|rest this|park my|rest my|drop my|"
        "to put|to place|surface for|put things"
    ),
    "write_at": "write* a|to write on|study*|homework|do my work|paperwork|sign a|work on my|writing",
    "work_at": "work on|work at|working|workplace|desk work|do some work|place to work",
    "eat_at": ("have dinner|have lunch|have breakfast|eat together|dine|dining|meal together|serve dinner|eat at"),
    "gather": "gather*|meeting|discuss*|sit around",
    "eat": ("hungry|eat*|snack*|starving|food|starve*|appetite|bite|craving|lunch|breakfast|vitamin*|something sweet"),
    "drink": ("thirst*|drink*|sip|dehydrated|hydrate*|beverage|throat is dry|dry throat|parched|coffee from|tea from"),
    "make_coffee": "coffee|caffeine|espresso",
    "boil": "boil*|cup of tea|make tea|some tea",
    "wipe": (
        "spill*|spilt|knocked over|tipped over|overflow*|wipe*|"
        "puddle|mop up|clean up|cleaned up|sticky|wet table|blow my nose|runny nose|sneez*|mess"
    ),
    "clean": "sweep*|vacuum*|dust*|clean the floor|crumbs|floor is dirty|dirty floor",
    "light": (
        "dark|dim|light*|bright*en|see better|read at night|gloomy|cannot see|can not see|hard to see|illuminat*"
    ),
    "block_light": "too bright|sun*|glare|blinding|dazzl*|block* light|block the light|light out|reduce light",
    "privacy": "privacy|private|neighbors|neighbours|looking in|looking inside|watching me|hide from",
    "cool": (
        "go bad|goes bad|going bad|gone bad|go off|ice cream|frozen|ice cubes|keep* cold|keep* cool|"
        "keep* food|perishable*|stay* fresh|keep* fresh|chill*|refrigerat*|cold drink*|"
        "cool and preserve|preserve*|get warm|melt*|spoil*|drinks cold"
    ),
    "food_store": "store food|keep food|storing food|leftovers",
    "cook": "cook*|bake*|fry|frying|roast*|prepare dinner|make dinner|prepare a meal|simmer*",
    "heat_food": (
        "heat up|gone cold|got cold|went cold|become cold|became cold|warm up my|warm up the|reheat*|"
        "food is cold|soup is cold|warm my|defrost*|cold food"
    ),
    "cook_at": "prepar* food|meal preparation|food preparation|chop*|make a sandwich",
    "toast": "toast*|slice of bread",
    "wash_hands": (
        "wash* my hands|wash* hands|hands are dirty|dirty hands|rinse my hands|hands are sticky|"
        "clean my hands|wash your hands|hands or dishes|greasy hands|greasy fingers|muddy hands|hands are greasy|"
        "hands are muddy|fingers are dirty|fingers are sticky|sticky fingers"
    ),
    "wash": "rinse*|wash* the|fill* a glass|running water|wash* dishes|wash* vegetables",
    "wash_dishes": "dirty dishes|dishes are dirty|wash* dishes|clean* the dishes|wash* the dishes|dirty plates",
    "wash_clothes": "laundry|dirty clothes|wash* my clothes|wash* clothes|clothes are dirty|shirt is dirty|stain*",
    "dry_clothes": "wet clothes|dry my clothes|dry clothes",
    "wash_body": "shower|bathe|bathing|take a bath|wash* myself|wash* the body|soak*",
    "bathe": "bath|bathe|bathing|soak*|immersion",
    "toilet": (
        "pee|toilet*|restroom|urinat*|defecat*|excret*|human waste|bodily waste|relieve myself|"
        "go to the bathroom|nature calls|use the bathroom"
    ),
    "splash": "splash*|water from|water inside",
    "dispose": (
        "throw* away|throw* this|throw* it|discard*|dispose*|trash|garbage|rubbish|litter|recycl*|"
        "get rid of|empty bottle*|empty carton*|empty can*|empty box*|wrapper*|used tissue*|leftover*|"
        "throw out|throw*"
    ),
    "store": (
        "store*|storing|storage|put away|keep my|keep things|organize*|organise*|belongings|tidy up|"
        "keep items|hold belongings|compartment*|items organized"
    ),
    "clothes": "hang my|fold* clothes|keep clothes|clothes in|my clothes|hats and",
    "hang": "hang my coat|hang my jacket|hang up|hang a",
    "books": "books|store books|keep books|display books",
    "carry": "carry*|pack my|hike|hiking|trip|go to school|bring my stuff|take along|transport",
    "travel": "travel*|vacation|journey|holiday|flight",
    "read": "read*|bored|novel|something to read",
    "write_with": "write with|take notes|note down|write down|write something|sign with|draw*|jot*|write a note",
    "write_on": "write on|brainstorm*|sketch*|explain ideas|present ideas",
    "play": "play*|game*|fun|bored|have fun|entertain*|kids are bored",
    "children": "child is bored|kids|toddler",
    "watch": "watch*|movie*|film*|news|tv show|series|television",
    "music": "play music|instrument|practise music|practice music|song*",
    "listen": "listen*|music|podcast|hear",
    "time": "what time|the time|late|in time|on time|appointment|wake me|how late|o'clock",
    "work_with": "computer work|browse*|email*|internet|online|program*|video call|type",
    "type": "type*|typing",
    "print": "print*|copy of|copies|ink on paper|on paper",
    "call": "call someone|call my|make a call|phone call|ring my|telephone|call for",
    "charge": "charg*|recharg*|battery|batteries|plug in|plugged in|out of power|low power|electric*ity|power socket",
    "warm": (
        "freez*|i am cold|feel cold|chilly|warm up|keep warm|keep me warm|stay warm|is cold|"
        "heat* the room|heating|so cold|too cold|getting cold|shiver*|warm the room"
    ),
    "cover": "cover myself|cover up",
    "wear": "wear|put on|get dressed|going outside|cold outside",
    "cool_air": "too hot|so hot|sweat*|cool down|cool air|stuffy|is hot|heat wave|sweltering|cool me",
    "air": "fresh air|ventilat*|stuffy|smell*|light and air|let air|breez*",
    "look_out": "look outside|see outside|view outside|look out|daylight",
    "daylight": "daylight|natural light",
    "look_at_self": (
        "how i look|how do i look|my tie|my face|my lipstick|my teeth look|see myself|look at myself|"
        "my reflection|my hair|my makeup|shave|check my appearance|outfit"
    ),
    "decorate": ("decorat*|beautif*|pretty|nicer|artistic|artwork|liven up|cheer up|on walls|hung on a wall|on a wall"),
    "nature": "nature|green|photosynthesi*|living thing",
    "water_it": "water the|needs water|watering|need* water*|wither*",
    "flowers": "flowers|bouquet|roses",
    "leave": "leave the room|exit*|get out|go out|go outside|way out|enter*|escape*|entrance|leave this",
    "cut": "cut*|slice*|open the package|open a package|scissor*|sharp",
    "repair": "repair*|fix*|broken|screw|nail*|loose|assemble",
    "climb": "reach the|too high|reach high|change the bulb|climb*|upstairs",
    "fire": "fire|burning|flames|smoke",
    "heal": (
        "hurt myself|bleed*|headache|medicine|injur*|wound*|pill*|sick|ill|fever|a plaster|bandage*|burned my|burnt my|"
        "cut my finger|cut my hand|scraped my|bruise*"
    ),
    "sport": "exercise*|work out|workout|training|fitness|sport*|lift weights",
    "ride": "ride*|cycle|cycling|commute",
    "rain": "rain*|stay dry|get wet",
    "head": "rest my head|neck hurts|under my head|stiff neck",
    "soft": "cozy|cosy",
    "dry": ("dry my hands|dry hands|dry off|hands are wet|wet hands|i am wet|dry myself|wet hair|dry the dishes"),
    "groom": "brush my|comb|teeth|shave",
    "photograph": "photo*|take a picture|take pictures",
    "contain_liquid": "drink from|pour* some|for my coffee|for water|drink out of|hot coffee",
    "eat_from": "soup|cereal|serve food|serve the|eat from|put my food|salad",
    "pour": "pour*|serve water",
    "iron": "iron*|wrinkl*",
    "pet": "pet|cuddle",
}
# Words of need that are also the names of what another need is about ("light" in "block light").
_OVERRIDES: tuple[tuple[str, frozenset[str]], ...] = (
    ("block_light", frozenset({"light"})),
    ("light", frozenset({"read"})),
    ("look_out", frozenset({"light"})),
    ("daylight", frozenset({"light", "block_light"})),
    ("wash_hands", frozenset({"wipe", "wash_dishes"})),
    ("wash_clothes", frozenset({"wash"})),
    ("wash_dishes", frozenset({"wash_body"})),
    ("toilet", frozenset({"dispose"})),
    ("lie", frozenset({"sit"})),
    ("dry_clothes", frozenset({"clothes"})),
    ("wipe", frozenset({"drink", "make_coffee", "boil", "pour", "contain_liquid", "eat"})),
    ("eat_from", frozenset({"eat"})),
    ("eat_at", frozenset({"eat"})),
    ("cool", frozenset({"eat", "drink", "cool_air"})),
    ("food_store", frozenset({"eat"})),
    ("heat_food", frozenset({"eat", "warm", "drink"})),
    ("cook_at", frozenset({"eat", "cook", "cut"})),
    ("fire", frozenset({"light"})),
    ("contain_liquid", frozenset({"eat"})),
    ("boil", frozenset({"make_coffee"})),
    ("heal", frozenset({"cut"})),
    ("put", frozenset({"work_with", "read", "eat", "drink"})),
    ("store", frozenset({"put", "read"})),
    ("books", frozenset({"read", "put"})),
    ("print", frozenset({"write_on"})),
    ("write_with", frozenset({"write_at"})),
    ("sit", frozenset({"children"})),
)
_SEVERAL = re.compile(
    r"\b(several|many|multiple|two|three|four|five|six|both of us|together|family|guests|friends|visitors|people|group|"
    r"couple|all of us|we)\b"
)


@lru_cache(maxsize=1024)
def needs_of(text: str) -> frozenset[str]:
    """Return the affordances that a statement asks for, by its words; empty when the word lists know none."""
    lower = text.lower()
    found = {need for need, pattern in _PATTERNS.items() if pattern.search(lower)}
    for need, hidden in _OVERRIDES:
        if need in found and not (need == "lie" and re.search(r"\b(or|and)\b", lower)):  # "for sitting or lying"
            found -= hidden
    if "sit" in found and _SEVERAL.search(lower):
        found.add("sit_several")
    if re.search(r"\bnot for lying\b|\bnot lie\b", lower):
        found -= {"lie", "sleep"}
        found.add("sit")
    return frozenset(found)


def _pattern(words: str) -> re.Pattern[str]:
    parts = [re.escape(word).replace(r"\*", r"\w*").replace(r"\ ", r"\s+") for word in words.split("|")]
    return re.compile(r"\b(?:" + "|".join(parts) + r")\b")


_PATTERNS = {need: _pattern(words) for need, words in _NEEDS.items()}
