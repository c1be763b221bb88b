"""Browser user agents for web chat sites, in one place so that they are updated together."""

CHROME_LINUX = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/127.0.0.0 Safari/537.36"
CHROME_LINUX_131 = CHROME_LINUX.replace("127", "131")
CHROME_MAC = CHROME_LINUX.replace("X11; Linux x86_64", "Macintosh; Intel Mac OS X 10_15_7").replace("127", "118")
FIREFOX_UBUNTU = "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:109.0) Gecko/20100101 Firefox/119.0"
FIREFOX_WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:122.0) Gecko/20100101 Firefox/122.0"
